"""The images of this release: Debian's Python, the locked wheels of a role, and our own wheel, a layer each."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from pointsman_images import archive, debian
from pointsman_images.cache import Missing, Say, cache_folder, key, locked
from pointsman_images.python import USER, python_root

PROJECT = Path(__file__).parents[2]
PACKAGES = "app/packages"
"""Where wheels lie in the image: on PYTHONPATH, beside nothing of Debian's"""
SOURCES = ("platform", "serving", "operators")


@dataclass(frozen=True, kw_only=True)
class Role:
    """An image: the lock of its wheels, and the module that it runs."""

    lock: str
    module: str


IMAGES: Mapping[str, Role] = MappingProxyType(
    {
        "serving": Role(lock="requirements/serving.txt", module="pointsman_serving.native"),
        "bentoml": Role(lock="requirements/bentoml.txt", module="pointsman_serving.bento.server"),
        "operator": Role(lock="requirements/operator.txt", module="pointsman_operator"),
    }
)


@dataclass(frozen=True, kw_only=True)
class Built:
    """An image's archive. `digest` is that of its manifest."""

    name: str
    path: Path
    digest: str


def release() -> str:
    """The version in pyproject.toml."""
    return str(tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["version"])


def build(name: str, folder: Path, *, say: Say) -> Built:
    """Build an image into a folder. Raises Missing."""
    role = IMAGES[name]
    full_name = f"ghcr.io/pointsman/{name}:{release()}"
    layers = [_base(say), _wheels(role, say), _ours(say)]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.tar"
    say(f"{full_name}: writing {path}")
    image = archive.Image(
        name=full_name,
        layers=layers,
        command=["python", "-m", role.module],
        environment={"PYTHONPATH": f"/{PACKAGES}", "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"},
        user=f"{USER}:{USER}",
        folder="/tmp",
    )
    return Built(name=full_name, path=path, digest=archive.write(path, image))


def _base(say: Say) -> Path:
    packages = debian.unpacked(debian.PYTHON_IMAGE, say)
    made_by = (Path(__file__).with_name("python.py").read_bytes(), str(packages))
    folder = cache_folder() / f"base-{key(*made_by)}"
    root = folder / "root"
    with locked(folder):
        if not root.exists():
            fresh = folder / "root.part"
            shutil.rmtree(fresh, ignore_errors=True)
            python_root(packages, fresh)
            fresh.rename(root)
    return root


def _wheels(role: Role, say: Say) -> Path:
    """The wheels of a lock, each checked against its hash, and compiled so that a read-only image starts as quickly."""
    lock = PROJECT / role.lock
    folder = cache_folder() / f"wheels-{key(lock.read_bytes(), Path(__file__).read_bytes())}"
    root = folder / "root"
    with locked(folder):
        if not root.exists():
            say(f"installing the wheels of {role.lock}, once")
            fresh = folder / "root.part"
            shutil.rmtree(fresh, ignore_errors=True)
            _install(fresh / PACKAGES, "--require-hashes", "--only-binary", ":all:", "-r", str(lock))
            _compile(fresh / PACKAGES)
            fresh.rename(root)
    return root


def _ours(say: Say) -> Path:
    """Our own wheel: it changes with every commit, so it is the uppermost layer."""
    files = [path for source in SOURCES for path in sorted((PROJECT / source).rglob("*")) if _counts(path)]
    content = [part for path in files for part in (str(path.relative_to(PROJECT)), path.read_bytes())]
    folder = cache_folder() / f"ours-{key(*content, (PROJECT / 'pyproject.toml').read_bytes())}"
    root = folder / "root"
    with locked(folder):
        if not root.exists():
            say("building our own wheel")
            fresh, wheels = folder / "root.part", folder / "wheel"
            for again in (fresh, wheels):
                shutil.rmtree(again, ignore_errors=True)
            _run(
                "uv",
                "build",
                "--wheel",
                "--no-build-isolation",
                "--python",
                sys.executable,
                "-o",
                str(wheels),
                str(PROJECT),
            )
            [wheel] = wheels.glob("*.whl")
            with zipfile.ZipFile(wheel) as archived:  # of Python alone; an installer would note where it came from
                archived.extractall(fresh / PACKAGES)
            _compile(fresh / PACKAGES)
            fresh.rename(root)
    return root


def _counts(path: Path) -> bool:
    return path.is_file() and "__pycache__" not in path.parts


def _install(target: Path, *arguments: str) -> None:
    target.mkdir(parents=True)
    _run(
        "uv", "pip", "install", "--quiet", "--no-compile", "--link-mode", "copy", "--python-version", "3.11",
        "--python-platform", "x86_64-manylinux_2_36", "--target", str(target), *arguments,
    )  # fmt: skip
    for lock in target.glob(".lock"):
        lock.unlink()


def _compile(packages: Path) -> None:
    """With hashes that nobody checks: a compiled file then holds no time, and the same source gives the same file."""
    if sys.version_info[:2] != (3, 11):
        return  # another Python's files would not be read
    command = [sys.executable, "-m", "compileall", "-q", "-s", str(packages), "-p", f"/{PACKAGES}"]
    subprocess.run([*command, "--invalidation-mode", "unchecked-hash", str(packages)], check=False, capture_output=True)


def _run(program: str, *arguments: str) -> None:
    found = Path(sys.executable).with_name(program)
    if not found.exists():
        raise Missing(f'"{program}" is not beside {sys.executable}: make sets it up')
    ran = subprocess.run([str(found), *arguments], capture_output=True, text=True, check=False)
    if ran.returncode:
        raise Missing(f"{program} {arguments[0]} failed: {ran.stderr.strip()[-500:]}")
