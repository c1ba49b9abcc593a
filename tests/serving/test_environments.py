"""Environments of runtimes: there or not there, whatever goes wrong, and the same ONNX Runtime everywhere."""

from __future__ import annotations

import fcntl
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pointsman_serving.bento.environment import ENVIRONMENT as BENTOML
from pointsman_serving.environments import Environment, EnvironmentFailed
from pointsman_serving.kserve_python.environment import ENVIRONMENT as KSERVE
from pointsman_serving.storage.environment import ENVIRONMENT as STORAGE
from pointsman_serving.triton.environment import ENVIRONMENT as TRITON

REQUIREMENTS = Path(__file__).parents[2] / "requirements"
NOTHING = "# nothing is installed\n"
NOWHERE = "no-such-package-of-pointsman==1.0 --hash=sha256:" + "0" * 64 + "\n"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "pointsman"


def environment(folder: Path, lock: str = NOTHING, cannot: str | None = None) -> Environment:
    folder.joinpath("lock.txt").write_text(lock)
    return Environment(name="other", lock=folder / "lock.txt", module="other.environment", cannot=cannot)


@pytest.mark.slow
def test_it_is_built_once_and_found_again(cache: Path, tmp_path: Path) -> None:
    told = list[str]()
    environment(tmp_path).build(told.append)
    python = environment(tmp_path).python
    assert subprocess.run([python, "-c", "import sys; print(sys.prefix)"], capture_output=True, text=True).stdout == (
        f"{environment(tmp_path).folder}\n"
    )
    written = python.lstat().st_mtime_ns
    environment(tmp_path).build(told.append)
    assert (python.lstat().st_mtime_ns, told[-1]) == (written, f"other: it is in {environment(tmp_path).folder}")
    assert sorted(each.name for each in cache.iterdir()) == [python.parents[1].name, f"{python.parents[1].name}.lock"]


@pytest.mark.slow
def test_what_a_killed_build_left_is_cleared_away_and_another_build_is_waited_for(cache: Path, tmp_path: Path) -> None:
    wanted, program = environment(tmp_path), "import sys\nfrom pointsman_serving.environments import *\n"
    program += "sys.exit(main(Environment(name='other', lock=Path(sys.argv[1]), module='m')))"
    left = cache / f".{wanted.folder.name}-left"
    left.mkdir(parents=True)
    with wanted.folder.with_suffix(".lock").open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        building = subprocess.Popen(
            [sys.executable, "-c", program, str(wanted.lock)], stdout=subprocess.PIPE, text=True
        )
        assert building.stdout is not None
        assert building.stdout.readline() == "another process builds it: waiting for it\n"
        assert not wanted.is_built
    building.communicate()
    assert (building.returncode, wanted.is_built, left.exists()) == (0, True, False)


@pytest.mark.slow
def test_a_package_that_cannot_be_had_leaves_nothing_behind_and_says_what_to_do(cache: Path, tmp_path: Path) -> None:
    wanted = environment(tmp_path, NOWHERE)
    with pytest.raises(EnvironmentFailed, match=r"other: pip ended with 1: .*run `.* -m other\.environment`"):
        wanted.build(lambda _: None)
    assert not wanted.is_built
    assert [each.name for each in cache.iterdir()] == [f"{wanted.folder.name}.lock"]
    with pytest.raises(EnvironmentFailed, match="no environment in"):
        _ = wanted.python


def test_another_lock_is_another_environment(cache: Path, tmp_path: Path) -> None:
    first = environment(tmp_path).folder
    assert first.parent == cache
    assert environment(tmp_path, NOWHERE).folder != first


def test_a_machine_that_cannot_have_it_is_told_so_at_once(cache: Path, tmp_path: Path) -> None:
    wanted = environment(tmp_path, cannot="it is for Linux alone")
    for ask in (lambda: wanted.build(lambda _: None), lambda: wanted.python):
        with pytest.raises(EnvironmentFailed, match="it is for Linux alone"):
            ask()
    assert not cache.exists()


def test_a_cache_that_cannot_be_written_is_named(cache: Path, tmp_path: Path) -> None:
    cache.parent.mkdir()
    cache.write_text("")
    with pytest.raises(EnvironmentFailed, match=r"pointsman.*set XDG_CACHE_HOME"):
        environment(tmp_path).build(lambda _: None)


def test_every_lock_pins_the_same_onnx_runtime_by_hash_and_names_no_index() -> None:
    for name in ("triton", "kserve", "bentoml"):
        text = (REQUIREMENTS / f"{name}.txt").read_text()
        assert version_of_onnxruntime(text) == version_of_onnxruntime((REQUIREMENTS / "serving.txt").read_text())
        assert "://" not in text
        assert text.count("--hash=sha256:") >= len(re.findall(r"^[a-z].*==", text, re.MULTILINE))


def test_the_locks_are_those_of_the_packages() -> None:
    assert (REQUIREMENTS / "triton.txt").samefile(TRITON.lock)
    assert (REQUIREMENTS / "kserve.txt").samefile(KSERVE.lock)
    assert (REQUIREMENTS / "bentoml.txt").samefile(BENTOML.lock)
    assert (REQUIREMENTS / "storage.txt").samefile(STORAGE.lock)


def version_of_onnxruntime(lock: str) -> str:
    found = re.search(r"^onnxruntime==(\S+)", lock, re.MULTILINE)
    assert found is not None
    return found[1]
