"""References to registered models, and folders that are kept by digest."""

from __future__ import annotations

import pytest

from pointsman.models.artifact import digest_of
from pointsman.registry.pins import keep
from pointsman.registry.port import InvalidModelUri, ModelUri


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("models:/fraud@champion", ModelUri(name="fraud", alias="champion")),
        ("models:/fraud/12", ModelUri(name="fraud", version="12")),
    ],
)
def test_a_reference_names_a_version_or_an_alias_and_is_written_as_it_was_read(text, expected):
    assert ModelUri.parse(text) == expected
    assert str(expected) == text


@pytest.mark.parametrize(
    "text",
    ["models:/fraud", "models:/fraud/0", "models:/fraud/latest", "models:/fraud/1/2", "models:/a b@c", "models:/@c"]
    + ["models:/fraud@", "models:/../1", "runs:/1/model", "models:/m@a\n", ""],
)
def test_what_is_no_reference_is_refused_by_its_text(text):
    with pytest.raises(InvalidModelUri, match="not "):
        ModelUri.parse(text)


def folder_of(place, text):
    place.mkdir(parents=True)
    (place / "model.onnx").write_text(text)
    return place


def test_keeping_the_same_files_twice_leaves_one_folder(tmp_path):
    first, second = folder_of(tmp_path / "a", "same"), folder_of(tmp_path / "b", "same")
    digest = digest_of(first)
    place = keep(first, digest, tmp_path)
    assert keep(second, digest, tmp_path) == place
    assert not first.exists()
    assert not second.exists()


def test_files_that_were_tampered_with_are_replaced(tmp_path):
    good, digest = folder_of(tmp_path / "a", "good"), digest_of(folder_of(tmp_path / "b", "good"))
    place = folder_of(tmp_path / digest.removeprefix("sha256:"), "evil")
    assert keep(good, digest, tmp_path) == place
    assert digest_of(place) == digest
    assert not [each for each in tmp_path.iterdir() if each.name.startswith(".")]
