"""What a volume beside the pod holds comes into the model's folder whole, or is refused; what a client says becomes what to do."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pointsman.api.reasons import Reason
from pointsman.models.artifact import digest_of
from pointsman_operator.causes.containers import FETCH
from pointsman_serving.environments import Environment
from pointsman_serving.fetch import FetchFailed, asked, fetch
from pointsman_serving.storage.addresses import Addresses

WRONG = "sha256:" + "0" * 64


class Here(Environment):
    """An environment that is there: this one."""

    @property
    def python(self) -> Path:
        return Path(sys.executable)


@pytest.fixture
def volume(tmp_path: Path, make_model: Callable[..., Path]) -> Path:
    """A volume with one model in a folder."""
    make_model(tmp_path / "volume" / "models" / "fraud", bias=0.0)
    return tmp_path / "volume"


@pytest.fixture
def brought(tmp_path: Path, volume: Path) -> Callable[..., Path]:
    """Fetch by this address; the folder."""

    def bring(address: str, digest: str = WRONG, query: str = "name=fraud&version=1") -> Path:
        folder = tmp_path / "folder"
        folder.mkdir(exist_ok=True)
        fetch(asked(f"pointsman-volume:/{address}?{query}#{digest}"), Addresses(volume=volume), folder)
        return folder

    return bring


def test_a_claims_folder_is_copied_and_what_is_written_there_later_is_not(
    brought: Callable[..., Path], volume: Path
) -> None:
    model = volume / "models" / "fraud"
    digest = digest_of(model)

    folder = brought("pvc%3A//claim/models/fraud", digest)
    (model / "later").write_text("by somebody else")

    assert digest_of(folder) == digest


def test_the_copy_of_an_image_is_taken_from_its_top(brought: Callable[..., Path], volume: Path) -> None:
    digest = digest_of(volume)

    assert digest_of(brought("oci%3A//registry.example/models/fraud%3A1", digest)) == digest


def test_one_model_is_laid_out_for_triton_and_a_repository_stays_as_it_is(
    brought: Callable[..., Path], volume: Path
) -> None:
    digest = digest_of(volume / "models" / "fraud")
    folder = brought("pvc%3A//claim/models/fraud", digest, "name=fraud&version=1&layout=triton")
    assert (folder / "fraud" / "1" / "model.onnx").is_file()

    digest = digest_of(volume / "models")
    folder = brought("pvc%3A//claim/models", digest, "name=fraud&version=1&layout=repository")
    assert digest_of(folder) == digest


def link(volume: Path) -> None:
    (volume / "models" / "fraud" / "link").symlink_to("/etc/passwd")


def link_of_a_folder(volume: Path) -> None:
    (volume / "models" / "away").symlink_to("/etc")


@pytest.mark.parametrize(
    ("address", "query", "prepare", "reason", "words"),
    [
        pytest.param(
            "models/fraud", "", None, Reason.DigestMismatch, "put them back, or correct the digest", id="other"
        ),
        pytest.param("models/none", "", None, Reason.ModelNotFound, "has no such folder", id="nothing there"),
        pytest.param("../..", "", None, Reason.ArtifactRefused, "leads out of the volume", id="climbs"),
        pytest.param("models/away", "", link_of_a_folder, Reason.ArtifactRefused, "leads out", id="a link of a folder"),
        pytest.param("models/fraud", "", link, Reason.ArtifactRefused, "a link", id="a link"),
        pytest.param(
            "models",
            "&layout=repository",
            None,
            Reason.ArtifactRefused,
            'has "fraud": name the model',
            id="another name",
        ),
    ],
)
def test_what_a_volume_should_not_hold_is_refused_and_the_folder_stays_empty(
    brought: Callable[..., Path],
    volume: Path,
    tmp_path: Path,
    address: str,
    query: str,
    prepare: Callable[[Path], None] | None,
    reason: Reason,
    words: str,
) -> None:
    digest = digest_of(volume / "models") if query else WRONG
    if prepare is not None:
        prepare(volume)

    with pytest.raises(FetchFailed, match=words) as failed:
        brought(f"pvc%3A//claim/{address}", digest, f"name={'other' if query else 'fraud'}&version=1{query}")

    assert (failed.value.reason, list((tmp_path / "folder").iterdir())) == (reason, [])


@pytest.mark.parametrize(
    ("said", "code", "reason", "words"),
    [
        ("S3 resource 'models' not found.", 1, Reason.ModelNotFound, "'models' not found: correct spec.model.uri"),
        ("Failed to fetch model. No model found in fraud.", 1, Reason.ModelNotFound, "or put the model there"),
        ("S3 error [403]: Forbidden", 1, Reason.FetchFailed, "correct the Secret of the pods' ServiceAccount"),
        ("HuggingFace authentication failed. Set HF_TOKEN", 1, Reason.FetchFailed, "the Secret of the pods'"),
        ('Could not connect to the endpoint URL: "http://a:1/b"', 1, Reason.FetchFailed, "Could not connect"),
        (
            "Got: ConnectError: refused An error happened while trying to",
            0,
            Reason.FetchFailed,
            "ConnectError: refused$",
        ),
        ("", 0, Reason.FetchFailed, "no files came"),
    ],
)
def test_what_a_client_says_is_told_as_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, code: int, reason: Reason, words: str
) -> None:
    """The client here says it and ends; what the real ones say is in the tests of the real node."""
    script = tmp_path / "client.py"
    script.write_text(f"import sys\nprint({said!r}, file=sys.stderr)\nsys.exit({code})\n")
    monkeypatch.setattr("pointsman_serving.storage.addresses.DOWNLOAD", script)
    folder = tmp_path / "folder"
    folder.mkdir()
    here = Here(name="here", lock=script, module="here")

    with pytest.raises(FetchFailed, match=words) as failed:
        fetch(asked(f"pointsman-storage:/s3%3A//models/fraud#{WRONG}"), Addresses(here), folder)

    assert (failed.value.reason, list(folder.iterdir())) == (reason, [])
    assert reason in FETCH


def test_clients_that_are_not_installed_are_said_with_how_to_install_them(tmp_path: Path) -> None:
    nowhere = Environment(name="nowhere", lock=Path(__file__), module="pointsman_serving.storage.environment")

    with pytest.raises(FetchFailed, match=r"pointsman_serving\.storage\.environment"):
        fetch(asked(f"pointsman-storage:/s3%3A//models/fraud#{WRONG}"), Addresses(nowhere), tmp_path)
