"""Container images without a container engine or a registry: tars made of folders, for `Cluster.load_image`.

`base_images` are what the test clusters themselves need: the pause container, CoreDNS, and a small Python that most
tests' pods run. `write_image` makes any other from a folder.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness import debian
from harness.parts import Say, cache_folder, key, locked

PAUSE = "localhost/pause:3"
COREDNS = "localhost/coredns:1"
PYTHON = "localhost/python:1"  # runs `web.py`: answers with its VERSION on port 8080
WEB = Path(__file__).parent / "web.py"
_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PROGRAMS = ("pause", "coredns")
_UNUSED = ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/lintian", "usr/share/info", "usr/share/bug")


def write_image(
    tar: Path, name: str, root: Path, command: Sequence[str], environment: Mapping[str, str] | None = None
) -> None:
    """Write a docker-archive with one layer, the folder's content; the same folder gives the same bytes."""
    layer = tar.with_suffix(".layer")
    with tarfile.open(layer, "w", format=tarfile.GNU_FORMAT) as content:
        for entry in sorted(os.listdir(root)):
            content.add(root / entry, arcname=entry, filter=_of_nobody)
    with layer.open("rb") as written:
        digest = hashlib.file_digest(written, "sha256").hexdigest()
    variables = [f"{name}={value}" for name, value in (environment or {}).items()]
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "created": "1970-01-01T00:00:00Z",
            "config": {"Env": [_PATH, *variables], "Cmd": list(command), "WorkingDir": "/"},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
            "history": [{"created": "1970-01-01T00:00:00Z"}],
        }
    ).encode()
    config_name = f"{hashlib.sha256(config).hexdigest()}.json"
    index = json.dumps([{"Config": config_name, "RepoTags": [name], "Layers": ["layer.tar"]}]).encode()
    fresh = tar.with_suffix(".part")
    with tarfile.open(fresh, "w") as archive:
        archive.add(layer, arcname="layer.tar", filter=_of_nobody)
        for entry, data in ((config_name, config), ("manifest.json", index)):
            info = tarfile.TarInfo(entry)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    layer.unlink()
    fresh.rename(tar)


def base_images(programs: Mapping[str, Path], say: Say) -> Mapping[str, Path]:
    """The tars of pause, CoreDNS and Python by image name, from the cache or made now."""
    python = debian.unpacked(debian.PYTHON_IMAGE, say)
    made_of = [str(python), *(str(programs[name]) for name in _PROGRAMS)]
    folder = cache_folder() / f"images-{key(Path(__file__).read_bytes(), WEB.read_bytes(), *made_of)}"
    tars = {PAUSE: folder / "pause.tar", COREDNS: folder / "coredns.tar", PYTHON: folder / "python.tar"}
    with locked(folder):
        if not all(tar.exists() for tar in tars.values()):
            say("making the test images, once: pause, CoreDNS, Python")
            root = folder / "root"
            shutil.rmtree(root, ignore_errors=True)  # of a run that was killed
            for program, image in zip(_PROGRAMS, (PAUSE, COREDNS), strict=True):
                root.mkdir()
                shutil.copy(programs[program], root / program)
                write_image(tars[image], image, root, [f"/{program}"])
                shutil.rmtree(root)
            python_root(python, root)
            write_image(tars[PYTHON], PYTHON, root, ["python3", "/app/web.py"], {"PYTHONUNBUFFERED": "1"})
            shutil.rmtree(root)
    return tars


def python_root(packages: Path, root: Path) -> None:
    """A root folder with Debian's Python and busybox's commands, to put wheels and programs of one's own into."""
    shutil.copytree(packages, root, symlinks=True)
    for folder in _UNUSED:
        shutil.rmtree(root / folder, ignore_errors=True)
    for folder in ("proc", "sys", "dev", "root", "app", "tmp", "etc"):
        (root / folder).mkdir(exist_ok=True)
    (root / "tmp").chmod(0o1777)
    binaries = root / "usr" / "bin"
    _link(binaries / "python3", "python3.11")
    _link(binaries / "python", "python3")
    for command in (
        "sh",
        "ls",
        "cat",
        "sleep",
        "rm",
        "touch",
        "mkdir",
        "env",
        "id",
        "wget",
        "grep",
        "sed",
        "ps",
        "kill",
    ):
        if not (binaries / command).exists():
            _link(binaries / command, "busybox")
    (root / "etc" / "passwd").write_text("root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n")
    (root / "etc" / "group").write_text("root:x:0:\nnogroup:x:65534:\n")
    shutil.copy(WEB, root / "app" / "web.py")


def _link(path: Path, target: str) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to(target)


def _of_nobody(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """The entry as root's and without a time, so that the same content has the same digest."""
    entry.uid = entry.gid = entry.mtime = 0
    entry.uname = entry.gname = ""
    return entry
