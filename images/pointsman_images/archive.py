"""Writes an image as an OCI archive: layers of folders, a config and a manifest, in one tar that engines and containerd load.

The same folders give the same bytes: entries stand in order, are root's, and have no time. Format: OCI image layout 1.0.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, kw_only=True)
class Image:
    """What an image is: its name with a tag, and how it starts. `layers` are root folders, the lowest first."""

    name: str
    layers: Sequence[Path]
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    user: str = "0"
    folder: str = "/"


def write(tar: Path, image: Image) -> str:
    """Write the archive; the digest of the image's manifest."""
    work = tar.with_suffix(".layers")
    work.mkdir(parents=True, exist_ok=True)
    blobs, layers = dict[str, Path | bytes](), list[dict[str, Any]]()
    for number, root in enumerate(image.layers):
        layer = work / str(number)
        digest = _layer(layer, root)
        blobs[digest] = layer
        layers.append(_descriptor("application/vnd.oci.image.layer.v1.tar", digest, layer.stat().st_size))
    config = _json(_config(image, [each["digest"] for each in layers]))
    config_digest = _digest(config)
    blobs[config_digest] = config
    kind = "application/vnd.oci.image.manifest.v1+json"
    described = _descriptor("application/vnd.oci.image.config.v1+json", config_digest, len(config))
    manifest = _json({"schemaVersion": 2, "mediaType": kind, "config": described, "layers": layers})
    digest = _digest(manifest)
    blobs[digest] = manifest
    named = {"io.containerd.image.name": image.name, "org.opencontainers.image.ref.name": image.name.rpartition(":")[2]}
    index = {"schemaVersion": 2, "manifests": [{**_descriptor(kind, digest, len(manifest)), "annotations": named}]}
    fresh = tar.with_suffix(".part")
    with tarfile.open(fresh, "w") as archive:
        _add(archive, "oci-layout", _json({"imageLayoutVersion": "1.0.0"}))
        for name, content in sorted(blobs.items()):
            _add(archive, f"blobs/sha256/{name.removeprefix('sha256:')}", content)
        _add(archive, "index.json", _json(index))
    for layer in work.iterdir():
        layer.unlink()
    work.rmdir()
    fresh.rename(tar)
    return digest


def _config(image: Image, layers: Sequence[str]) -> dict[str, Any]:
    variables = [f"PATH={PATH}", *(f"{name}={value}" for name, value in image.environment.items())]
    return {
        "architecture": "amd64",
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": {"Env": variables, "Cmd": list(image.command), "WorkingDir": image.folder, "User": image.user},
        "rootfs": {"type": "layers", "diff_ids": list(layers)},
        "history": [{"created": "1970-01-01T00:00:00Z"} for _ in layers],
    }


def _layer(path: Path, root: Path) -> str:
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as content:
        for entry in sorted(os.listdir(root)):
            content.add(root / entry, arcname=entry, filter=_of_nobody)
    with path.open("rb") as written:
        return f"sha256:{hashlib.file_digest(written, 'sha256').hexdigest()}"


def _of_nobody(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = entry.mtime = 0
    entry.uname = entry.gname = ""
    return entry


def _add(archive: tarfile.TarFile, name: str, content: Path | bytes) -> None:
    info = tarfile.TarInfo(name)
    if isinstance(content, Path):
        info.size = content.stat().st_size
        with content.open("rb") as file:
            archive.addfile(info, file)
    else:
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))


def _descriptor(kind: str, digest: str, size: int) -> dict[str, Any]:
    return {"mediaType": kind, "digest": digest, "size": size}


def _json(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
