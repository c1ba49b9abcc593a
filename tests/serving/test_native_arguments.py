"""What a native server is told on its command line."""

from __future__ import annotations

import pytest

from pointsman_serving.native.__main__ import arguments

GOOD = {"model-dir": "m", "digest": "sha256:0", "name": "scorer", "http-port": "0", "grpc-port": "0"}


def parsed(monkeypatch, **but):
    options = GOOD | {name.replace("_", "-"): value for name, value in but.items()}
    monkeypatch.setattr("sys.argv", ["native", *(f"--{name}={value}" for name, value in options.items())])
    return arguments()


def test_a_server_listens_on_loopback_unless_it_is_told_otherwise(monkeypatch):
    assert parsed(monkeypatch).host == "127.0.0.1"


@pytest.mark.parametrize(
    "but",
    [
        *({"name": name} for name in ("Scorer", "a/b", "..", "../a", "a\n", "-a", "a-", "a" * 64, "")),
        *({"version": version} for version in ("1/2", "..", "1\n", "", "1" * 64)),
        {"max_batch_size": "0"},
    ],
    ids=str,
)
def test_a_name_or_version_that_could_mean_a_path_is_refused(monkeypatch, capsys, but):
    with pytest.raises(SystemExit):
        parsed(monkeypatch, **but)
    assert f"--{next(iter(but)).replace('_', '-')}:" in capsys.readouterr().err
