"""An image's archive: the same folders give the same bytes, whoever builds them and when."""

from __future__ import annotations

import json
import os
import tarfile
from pathlib import Path

from pointsman_images.archive import Image, write


def layers(folder: Path) -> list[Path]:
    """Two roots, one above the other; the files' times are this moment's."""
    for name, text in (("base", "one"), ("ours", "two")):
        (folder / name / "app").mkdir(parents=True)
        (folder / name / "app" / name).write_text(text)
    (folder / "ours" / "app" / "link").symlink_to("base")
    return [folder / "base", folder / "ours"]


def image(folder: Path) -> Image:
    return Image(
        name="example.com/it:1", layers=layers(folder), command=["python"], environment={"A": "1"}, user="65532:65532"
    )


def test_the_same_folders_give_the_same_bytes(tmp_path: Path) -> None:
    first = write(tmp_path / "1.tar", image(tmp_path / "first"))
    again = image(tmp_path / "again")
    os.utime(tmp_path / "again" / "base" / "app" / "base", (1, 1))

    assert write(tmp_path / "2.tar", again) == first
    assert (tmp_path / "1.tar").read_bytes() == (tmp_path / "2.tar").read_bytes()


def test_another_file_gives_another_digest(tmp_path: Path) -> None:
    first = write(tmp_path / "1.tar", image(tmp_path / "first"))
    again = image(tmp_path / "again")
    (tmp_path / "again" / "ours" / "app" / "ours").write_text("three")

    assert write(tmp_path / "2.tar", again) != first


def test_it_is_named_and_runs_as_nobody(tmp_path: Path) -> None:
    digest = write(tmp_path / "1.tar", image(tmp_path / "first"))

    with tarfile.open(tmp_path / "1.tar") as archive:
        read = lambda name: json.loads(archive.extractfile(name).read())  # noqa: E731
        [described] = read("index.json")["manifests"]
        manifest = read(f"blobs/sha256/{digest.removeprefix('sha256:')}")
        config = read(f"blobs/sha256/{manifest['config']['digest'].removeprefix('sha256:')}")
    assert described["digest"] == digest
    assert described["annotations"]["io.containerd.image.name"] == "example.com/it:1"
    assert config["config"]["User"] == "65532:65532"
    assert len(config["rootfs"]["diff_ids"]) == len(manifest["layers"]) == 2
