"""A model's folder is named by its files, and holds nothing but plain ones."""

from __future__ import annotations

import hashlib
import os

import pytest

from pointsman.models import manifest
from pointsman.models.__main__ import main
from pointsman.models.artifact import ArtifactRefused, digest_of, open_artifact


def written(place, files):
    for name, content in files.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(content)
    return place


def test_a_digest_is_the_sha256_of_the_sorted_manifest(tmp_path):
    place = written(tmp_path, {"b/c.bin": b"two", "a.txt": b""})
    lines = ",".join(
        f'["{name}",{len(content)},"{hashlib.sha256(content).hexdigest()}"]'
        for name, content in (("a.txt", b""), ("b/c.bin", b"two"))
    )
    assert digest_of(place) == "sha256:" + hashlib.sha256(f"[{lines}]".encode()).hexdigest()


def test_the_order_and_the_time_of_writing_do_not_matter(tmp_path):
    files = {"a": b"1", "b": b"2", "c/d": b"3"}
    first = written(tmp_path / "first", files)
    second = written(tmp_path / "second", dict(reversed(files.items())))
    os.utime(second / "a", (1, 1))
    (second / "a").chmod(0o444)
    assert digest_of(first) == digest_of(second)


@pytest.mark.parametrize(
    "files",
    [
        pytest.param({"a": b"1", "b": b"3"}, id="another content"),
        pytest.param({"a": b"1", "c": b"2"}, id="another name"),
        pytest.param({"a": b"1", "b": b"2", "c": b""}, id="one more file"),
        pytest.param({"a": b"1", "d/b": b"2"}, id="another folder"),
    ],
)
def test_any_other_file_gives_another_digest(tmp_path, files):
    before = digest_of(written(tmp_path / "before", {"a": b"1", "b": b"2"}))
    assert digest_of(written(tmp_path / "after", files)) != before


def link(place, elsewhere):
    (place / "model.onnx").symlink_to(elsewhere)


def link_inside(place, elsewhere):
    (place / "model.onnx").write_bytes(b"1")
    (place / "other.onnx").symlink_to("model.onnx")


def linked_folder(place, elsewhere):
    (place / "data").symlink_to(elsewhere.parent)


def dangling_link(place, elsewhere):
    (place / "data").symlink_to("nowhere")


def second_name(place, elsewhere):
    os.link(elsewhere, place / "model.onnx")


def pipe(place, elsewhere):
    os.mkfifo(place / "model.onnx")


def backslash(place, elsewhere):
    (place / "..\\model.onnx").write_bytes(b"1")


def line_break(place, elsewhere):
    (place / "a\nb").write_bytes(b"1")


def not_utf8(place, elsewhere):
    (place / os.fsdecode(b"caf\xe9")).write_bytes(b"1")


def empty_folder_of_odd_name(place, elsewhere):
    (place / "a\tb").mkdir()
    (place / "a").write_bytes(b"1")


def nothing(place, elsewhere):
    pass


def deep(place, elsewhere):
    written(place, {"/".join("d" * 17): b"1"})


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (link, "a link"),
        (link_inside, "a link"),
        (linked_folder, "a link"),
        (dangling_link, "a link"),
        (second_name, "other names"),
        (pipe, "a special file"),
        (backslash, "not plain text"),
        (line_break, "not plain text"),
        (not_utf8, "not plain text"),
        (empty_folder_of_odd_name, "not plain text"),
        (nothing, "no files"),
        (deep, "deeper than 16"),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)
def test_what_is_not_a_plain_file_of_a_plain_name_is_refused_with_what_to_do(tmp_path, spoil, words):
    elsewhere = tmp_path / "elsewhere" / "file"
    written(tmp_path, {"elsewhere/file": b"1"})
    place = tmp_path / "model"
    place.mkdir()
    spoil(place, elsewhere)
    with pytest.raises(ArtifactRefused, match=rf"{words}.*: (register|rename|fetch)"):
        digest_of(place)


def test_a_link_to_a_folder_is_not_a_folder(tmp_path):
    written(tmp_path, {"model/a": b"1"})
    (tmp_path / "link").symlink_to("model")
    with pytest.raises(ArtifactRefused, match=r"not a folder"):
        digest_of(tmp_path / "link")


@pytest.mark.parametrize(("limit", "value"), [("FILES", 1), ("FILE_BYTES", 3), ("FOLDER_BYTES", 7)])
def test_a_folder_over_a_limit_is_refused(tmp_path, monkeypatch, limit, value):
    place = written(tmp_path, {"a": b"1234", "b": b"1234"})
    assert digest_of(place)
    monkeypatch.setattr(manifest, limit, value)
    with pytest.raises(ArtifactRefused, match=r"at most|more than"):
        digest_of(place)


def test_a_changed_model_is_refused_by_its_digest(folder):
    place = folder()
    pinned = digest_of(place)
    content = bytearray((place / "model.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (place / "model.onnx").write_bytes(content)
    with pytest.raises(ArtifactRefused, match=f"not the files that were pinned.*instead of {pinned}"):
        open_artifact(place, expected_digest=pinned)


def test_a_person_learns_a_folders_digest_by_one_command(tmp_path, monkeypatch, capsys):
    place = written(tmp_path / "model", {"a": b"1"})
    monkeypatch.setattr("sys.argv", ["models", str(place)])
    assert main() == 0
    assert capsys.readouterr().out == f"{digest_of(place)}\n"

    monkeypatch.setattr("sys.argv", ["models", str(tmp_path / "none")])
    assert main() == 1
    assert "not a folder" in capsys.readouterr().err
