"""Container images without a container engine or a registry: tars made of folders, for `Cluster.load_image`.

`base_images` are what the test clusters themselves need: the pause container, CoreDNS, and a small Python that most
tests' pods run. `write_image` makes any other from a folder.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from pointsman_images import debian
from pointsman_images.archive import Image, write
from pointsman_images.cache import Say, cache_folder, key, locked
from pointsman_images.python import python_root

PAUSE = "localhost/pause:3"
COREDNS = "localhost/coredns:1"
PYTHON = "localhost/python:1"  # runs `web.py`: answers with its VERSION on port 8080
WEB = Path(__file__).parent / "web.py"
_PROGRAMS = ("pause", "coredns")


def write_image(
    tar: Path, name: str, root: Path, command: Sequence[str], environment: Mapping[str, str] | None = None
) -> None:
    """Write an archive with one layer, the folder's content; the same folder gives the same bytes."""
    write(tar, Image(name=name, layers=[root], command=command, environment=environment or {}))


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
            shutil.copy(WEB, root / "app" / "web.py")
            write_image(tars[PYTHON], PYTHON, root, ["python3", "/app/web.py"], {"PYTHONUNBUFFERED": "1"})
            shutil.rmtree(root)
    return tars
