"""The images of this release: Debian's Python, the locked wheels of a role, and our own wheel, a layer each."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from pointsman.graphs.pod import CONFIG_FILE
from pointsman_images import archive, debian
from pointsman_images.cache import Missing, Say, cache_folder, key, locked
from pointsman_images.python import USER, python_root
from pointsman_serving.environments import Environment
from pointsman_serving.kserve_python.environment import ENVIRONMENT as KSERVE
from pointsman_serving.storage.environment import ENVIRONMENT as STORAGE

PROJECT = Path(__file__).parents[2]
REGISTRY = "ghcr.io/pointsman"
PACKAGES = "app/packages"
"""Where wheels lie in the image: on PYTHONPATH, beside nothing of Debian's"""
ENVIRONMENTS = "app/environments"
"""Where another runtime's environment lies, as it would in a user's cache"""
VARIABLES: Mapping[str, str] = MappingProxyType(
    {"PYTHONPATH": f"/{PACKAGES}", "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"}
)
FOLDER = "/tmp"
"""Where it runs: the only place that is written to, a volume where the root is read-only"""
PROGRAMS = "usr/local/bin"
SOURCES = ("platform", "serving", "operators")
PYTHON = "3.11"
"""Debian's"""


@dataclass(frozen=True, kw_only=True)
class Role:
    """An image: the lock of its wheels, the module that it runs, and the environment of another runtime, where it has one."""

    lock: str
    module: str
    arguments: tuple[str, ...] = ()
    environment: Environment | None = None
    programs: Mapping[str, str] = field(default_factory=dict)
    """Commands that others start in it by name, each with the module that it is"""

    @property
    def command(self) -> list[str]:
        """What it runs."""
        return ["python", "-m", self.module, *self.arguments]

    @property
    def variables(self) -> Mapping[str, str]:
        """Its environment variables, without PATH."""
        return VARIABLES if self.environment is None else {**VARIABLES, "XDG_CACHE_HOME": f"/{ENVIRONMENTS}"}


IMAGES: Mapping[str, Role] = MappingProxyType(
    {
        "serving": Role(lock="requirements/serving.txt", module="pointsman_serving.native"),
        "bentoml": Role(lock="requirements/bentoml.txt", module="pointsman_serving.bento.server"),
        "graph": Role(
            lock="requirements/graph.txt",
            module="pointsman_serving.embedded",
            arguments=("--config", CONFIG_FILE),
            programs={"ray": "ray.scripts.scripts"},
        ),
        "operator": Role(lock="requirements/operator.txt", module="pointsman_operator"),
        "kserve-python": Role(
            lock="requirements/serving.txt", module="pointsman_serving.kserve_python", environment=KSERVE
        ),
        "postgres": Role(lock="requirements/postgres.txt", module="pointsman.store.trial"),
        "storage": Role(lock="requirements/serving.txt", module="pointsman_serving.fetch", environment=STORAGE),
        "mlflow": Role(
            lock="requirements/mlflow.txt",
            module="uvicorn",
            arguments=("mlflow.server.fastapi_app:app", "--host=0.0.0.0", "--port=5000"),
        ),
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
    """Build an image into a folder: the same sources and locks, the same digest. Raises Missing."""
    role = IMAGES[name]
    full_name = f"{REGISTRY}/{name}:{release()}"
    layers = [base(debian.PYTHON_IMAGE, say), wheels(PROJECT / role.lock, say)]
    if role.environment is not None:
        layers.append(_environment(role.environment, say))
    if role.programs:
        layers.append(_programs(role.programs))
    layers.append(_ours(say))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.tar"
    image = archive.Image(
        name=full_name,
        layers=layers,
        command=role.command,
        environment=role.variables,
        user=f"{USER}:{USER}",
        folder=FOLDER,
    )
    return Built(name=full_name, path=path, digest=archive.write(path, image))


def base(packages: Sequence[str], say: Say) -> Path:
    """The root folder of these Debian packages, Python among them."""
    unpacked = debian.unpacked(packages, say)
    made_by = (Path(__file__).read_bytes(), Path(__file__).with_name("python.py").read_bytes())

    def fill(root: Path) -> None:
        python_root(unpacked, root)
        _compile(root, f"usr/lib/python{PYTHON}", root)  # as Debian does when it installs them

    return _made(f"base-{key(*made_by, *sorted(packages))}", fill)


def wheels(lock: Path, say: Say) -> Path:
    """The wheels of a lock, each checked against its hash, and compiled so that a read-only image starts as quickly."""

    def fill(root: Path) -> None:
        say(f"installing the wheels of {lock.relative_to(PROJECT)}, once")
        _install(root, PACKAGES, lock, say)

    return _made(f"wheels-{_key(lock)}", fill)


def _environment(environment: Environment, say: Say) -> Path:
    """A virtual environment of the image's Python, at the place where the runtime's starter looks for it."""
    place = f"{ENVIRONMENTS}/pointsman/{environment.named(PYTHON)}"

    def fill(root: Path) -> None:
        say(f"installing the environment of {environment.name}, once")
        _install(root, f"{place}/lib/python{PYTHON}/site-packages", environment.lock, say)
        (root / place / "bin").mkdir()
        (root / place / "bin" / "python").symlink_to(f"/usr/bin/python{PYTHON}")
        (root / place / "pyvenv.cfg").write_text("home = /usr/bin\ninclude-system-site-packages = false\n")

    return _made(f"environment-{_key(environment.lock)}", fill)


def program(module: str) -> str:
    """The file of a command that runs a module."""
    return f'#!/bin/sh\nexec python -m {module} "$@"\n'


def _programs(programs: Mapping[str, str]) -> Path:
    files = {name: program(module) for name, module in programs.items()}

    def fill(root: Path) -> None:
        (root / PROGRAMS).mkdir(parents=True)
        for name, content in files.items():
            (root / PROGRAMS / name).write_text(content)
            (root / PROGRAMS / name).chmod(0o755)

    return _made(f"programs-{key(*(part for each in sorted(files.items()) for part in each))}", fill)


def _ours(say: Say) -> Path:
    """Our own wheel: it changes with every commit, so it is the uppermost layer."""
    files = [path for source in SOURCES for path in sorted((PROJECT / source).rglob("*")) if _counts(path)]
    content = [part for path in files for part in (str(path.relative_to(PROJECT)), path.read_bytes())]

    def fill(root: Path) -> None:
        say("building our own wheel")
        built = root.with_name("wheel")
        shutil.rmtree(built, ignore_errors=True)
        how = ("--no-build-isolation", "--python", sys.executable)
        _run("uv", "build", "--wheel", *how, "-o", str(built), str(PROJECT))
        [wheel] = built.glob("*.whl")
        with zipfile.ZipFile(wheel) as archived:  # of Python alone; an installer would note where it came from
            archived.extractall(root / PACKAGES)
        _compile(root, PACKAGES, base(debian.PYTHON_IMAGE, say))

    made_by = ((PROJECT / "pyproject.toml").read_bytes(), Path(__file__).read_bytes())
    return _made(f"ours-{key(*content, *made_by)}", fill)


def _counts(path: Path) -> bool:
    return path.is_file() and "__pycache__" not in path.parts


def _key(lock: Path) -> str:
    return key(lock.read_bytes(), Path(__file__).read_bytes())


def _made(name: str, fill: Callable[[Path], None]) -> Path:
    """The cache's folder of this name; where it is not there, `fill` makes it."""
    folder = cache_folder() / name
    root = folder / "root"
    with locked(folder):
        if not root.exists():
            fresh = folder / "root.part"
            shutil.rmtree(fresh, ignore_errors=True)  # of a run that was killed
            fill(fresh)
            fresh.rename(root)
    return root


def _install(root: Path, place: str, lock: Path, say: Say) -> None:
    target = root / place
    target.mkdir(parents=True)
    _run(
        "uv", "pip", "install", "--quiet", "--no-compile", "--link-mode", "copy", "--python-version", PYTHON,
        "--python-platform", "x86_64-manylinux_2_36", "--target", str(target), "--require-hashes",
        "--only-binary", ":all:", "-r", str(lock),
    )  # fmt: skip
    for left in target.glob(".lock"):
        left.unlink()
    _drop_scripts(target)
    _compile(root, place, base(debian.PYTHON_IMAGE, say))


def _drop_scripts(target: Path) -> None:
    """Their first line is the path of the Python that installed them, on this machine. Images run modules."""
    shutil.rmtree(target / "bin", ignore_errors=True)
    for record in target.glob("*.dist-info/RECORD"):
        lines = record.read_text().splitlines(keepends=True)
        record.write_text("".join(line for line in lines if not line.startswith("bin/")))


def _compile(root: Path, place: str, python: Path) -> None:
    """By the Python of an image's root, whichever runs here, and with hashes that nobody checks in place of times."""
    usr = python / "usr"
    libraries = usr / "lib" / "x86_64-linux-gnu"
    loader = [libraries / "ld-linux-x86-64.so.2", "--library-path", libraries, usr / "bin" / f"python{PYTHON}"]
    options = ["-q", "-s", root, "-p", "/", "--invalidation-mode", "unchecked-hash", root / place]
    command = [str(each) for each in (*loader, "-BsS", "-m", "compileall", *options)]
    environment = {"PYTHONHOME": str(usr), "PYTHONHASHSEED": "0", "LANG": "C.UTF-8"}
    # it ends with 1 where one file does not compile: some packages carry templates, and tests of other Pythons
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if not any((root / place).rglob("*.pyc")):
        raise Missing(f"the image's Python compiles nothing: {(ran.stderr or ran.stdout).strip()[-500:]}")


def _run(program: str, *arguments: str) -> None:
    found = Path(sys.executable).with_name(program)
    if not found.exists():
        raise Missing(f'"{program}" is not beside {sys.executable}: make sets it up')
    ran = subprocess.run([str(found), *arguments], capture_output=True, text=True, check=False)
    if ran.returncode:
        raise Missing(f"{program} {arguments[0]} failed: {ran.stderr.strip()[-500:]}")
