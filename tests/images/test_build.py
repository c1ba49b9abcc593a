"""An image is the same whoever builds it, where and when; and every image that a manifest names is built."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

from pointsman_images.build import IMAGES, PROJECT, REGISTRY, build, release
from pointsman_images.cache import Missing


@pytest.mark.slow
def test_two_builds_from_scratch_give_the_same_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    downloads = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    monkeypatch.setenv("UV_CACHE_DIR", f"{downloads}/uv")  # wheels, which their hashes check
    made = []
    for turn, umask in (("one", 0o022), ("two", 0o077)):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / turn))
        before = os.umask(umask)
        try:
            made.append(build("operator", tmp_path / turn, say=lambda line: None))
        except Missing as missing:
            pytest.skip(str(missing))
        finally:
            os.umask(before)

    assert made[0].digest == made[1].digest
    content = made[0].path.read_bytes()
    for here in (sys.prefix, str(tmp_path), str(PROJECT)):
        assert here.encode() not in content, f"the image tells where it was built: {here}"


def test_every_image_of_ours_that_a_manifest_names_is_built_at_this_version() -> None:
    manifests = "\n".join(path.read_text() for path in (PROJECT / "manifests").rglob("*.yaml"))
    named = set(re.findall(rf"{re.escape(REGISTRY)}/[\w.:-]+", manifests))

    assert named == {f"{REGISTRY}/{name}:{release()}" for name in IMAGES}


def test_the_manifest_of_mlflow_runs_what_the_image_runs() -> None:
    import yaml

    deployment, _ = yaml.safe_load_all((PROJECT / "manifests" / "mlflow" / "mlflow.yaml").read_text())
    [container] = deployment["spec"]["template"]["spec"]["containers"]

    assert container["command"] == IMAGES["mlflow"].command
