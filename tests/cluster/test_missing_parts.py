"""What a machine lacks for a test cluster is said in one line, with how to get it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness import node, parts
from pointsman_images.cache import Missing


def test_without_go_it_says_where_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    parts.go_version.cache_clear()

    with pytest.raises(Missing, match=r"`go` is not on PATH: see go\.dev/dl$"):
        parts.programs(parts.SIMULATED, say=lambda line: None)


def test_without_root_a_real_node_asks_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    with pytest.raises(Missing, match=r"needs Linux and root \(sudo\)$"):
        node.require()


def test_the_assets_of_kubebuilder_go_before_what_is_built_here(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))
    given = [program for program in parts.CONTROL_PLANE if program.name in ("etcd", "kube-apiserver", "kubectl")]
    for program in given:
        (tmp_path / program.name).touch()

    assert set(parts.programs(given, say=lambda line: None).values()) == {tmp_path / one.name for one in given}
