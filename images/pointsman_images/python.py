"""A root folder with Debian's Python and a shell's commands: the lowest layer of every image of ours."""

from __future__ import annotations

import shutil
from pathlib import Path

_UNUSED = ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/lintian", "usr/share/info", "usr/share/bug")
COMMANDS = ("sh", "ls", "cat", "sleep", "rm", "touch", "mkdir", "env", "id", "wget", "grep", "sed", "ps", "kill")
"""What a shell and Kubernetes' probes call, busybox where Debian's own is not there: KubeRay's want wget"""
USER = 65532
"""Who runs in our images: nobody in particular, and not root"""


def python_root(packages: Path, root: Path) -> None:
    """Make the folder of `debian.PYTHON_IMAGE`, unpacked; put wheels and programs of one's own into it or above it."""
    shutil.copytree(packages, root, symlinks=True)
    for folder in _UNUSED:
        shutil.rmtree(root / folder, ignore_errors=True)
    for folder in ("proc", "sys", "dev", "root", "app", "tmp", "etc", "mnt"):
        (root / folder).mkdir(exist_ok=True)
    (root / "tmp").chmod(0o1777)
    binaries = root / "usr" / "bin"
    _link(binaries / "python3", "python3.11")
    _link(binaries / "python", "python3")
    for command in COMMANDS:
        if not (binaries / command).exists():
            _link(binaries / command, "busybox")
    (root / "etc" / "passwd").write_text(
        "root:x:0:0:root:/root:/bin/sh\n"
        f"pointsman:x:{USER}:{USER}:pointsman:/tmp:/bin/false\n"
        "nobody:x:65534:65534:nobody:/:/bin/false\n"
    )
    (root / "etc" / "group").write_text(f"root:x:0:\npointsman:x:{USER}:\nnogroup:x:65534:\n")


def _link(path: Path, target: str) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to(target)
