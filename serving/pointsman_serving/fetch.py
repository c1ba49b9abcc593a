"""Brings a pinned model into a pod: `python -m pointsman_serving.fetch URI FOLDER`, KServe's storage initialiser for our URIs.

    mlflow-artifacts:/<path>?name=<model>&version=<n>[&layout=triton&kind=gpu&maxBatchSize=…]#sha256:<64 hex>
    pointsman-storage:/<address, quoted>?…#sha256:…     s3:// gs:// hf:// https://, by KServe's clients
    pointsman-volume:/<address, quoted>?…#sha256:…      pvc:// oci://, from where the pod has mounted it

The registry is the one that POINTSMAN_REGISTRY_URL names. Nothing stands in the folder before its digest is checked, and after
a failure nothing at all. Then the last line is `<Reason>: <what to do>`, which the operator puts into the status.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol
from urllib.parse import parse_qsl, unquote, urlsplit

import structlog

from pointsman.api.reasons import Reason
from pointsman.logs import log_as_json
from pointsman.models.artifact import ArtifactRefused, digest_of, open_artifact
from pointsman.registry.mlflow_rest import MlflowRegistry
from pointsman.registry.port import RegistryError, RegistryUnreachable, ResolvedModel
from pointsman_serving.storage.addresses import Addresses
from pointsman_serving.triton.repository import Batching, Served, config, version_number

log = structlog.get_logger()

SCHEME = "mlflow-artifacts"
ADDRESSED = ("pointsman-storage", "pointsman-volume")
"""The schemes of what is not in the registry: the address is in the path, quoted"""
REGISTRY = "POINTSMAN_REGISTRY_URL"
WAITS = (1.0, 2.0, 4.0, 8.0, 15.0)
"""Seconds between the attempts to reach a registry that does not answer"""
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_PARTIAL = ".fetching"


class FetchFailed(Exception):
    """A model did not come into its folder. `reason` begins the last line that is written."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Source(Protocol):
    """Where files come from: a registry, or `Addresses`."""

    def fetch(self, resolved: ResolvedModel, folder: Path) -> None:
        """The files into this empty folder. Raises RegistryError."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is to be fetched, and how it is to lie. `repository`: Triton reads it as it is, from a folder of the model's name."""

    source: str
    digest: str
    name: str = "model"
    version: str = "1"
    layout: Literal["files", "triton", "repository"] = "files"
    kind: Literal["gpu", "cpu"] = "gpu"
    max_batch_size: int = 256
    max_queue_delay_microseconds: int = 0
    instances: int = 1

    @property
    def is_registered(self) -> bool:
        """Whether the registry has it."""
        return self.source.startswith(f"{SCHEME}:")


_FIELDS = {
    "name": "name",
    "version": "version",
    "layout": "layout",
    "kind": "kind",
    "maxBatchSize": "max_batch_size",
    "maxQueueDelayMicroseconds": "max_queue_delay_microseconds",
    "instances": "instances",
}
_CHOICES = {"layout": ("files", "triton", "repository"), "kind": ("gpu", "cpu")}


def asked(uri: str) -> Asked:
    """Read the URI. Raises FetchFailed where it is not one of ours, whole and with a digest."""
    place = urlsplit(uri)
    if place.scheme not in (SCHEME, *ADDRESSED) or not place.path.strip("/"):
        raise _wrong(f'"{uri}" is not {SCHEME}:/<path>, nor {" or ".join(ADDRESSED)}:/<address>')
    if not _DIGEST.fullmatch(place.fragment):
        raise _wrong(f'"{uri}" does not end with #sha256: and 64 hexadecimal digits')
    found = dict[str, object]()
    for key, text in parse_qsl(place.query, keep_blank_values=True):
        if key not in _FIELDS:
            raise _wrong(f'"{key}" is not known; there are {", ".join(_FIELDS)}')
        if text not in _CHOICES.get(key, (text,)):
            raise _wrong(f'{key}: "{text}" is not one of {", ".join(_CHOICES[key])}')
        if key in ("maxBatchSize", "maxQueueDelayMicroseconds", "instances"):
            if not text.isdecimal():
                raise _wrong(f'{key}: "{text}" is no number')
            found[_FIELDS[key]] = int(text)
        else:
            found[_FIELDS[key]] = text
    source = f"{SCHEME}:{place.path}" if place.scheme == SCHEME else unquote(place.path.removeprefix("/"))
    wanted = Asked(source=source, digest=place.fragment, **found)  # type: ignore[arg-type]  # checked above
    if not _NAME.fullmatch(wanted.name):
        raise _wrong(f'name: "{wanted.name}" does not match {_NAME.pattern}')
    return wanted


def fetch(wanted: Asked, registry: Source, folder: Path, *, wait: Callable[[float], None] = time.sleep) -> None:
    """Fetch into a folder that is there; whatever lies in it goes first. Raises FetchFailed, and leaves it empty then."""
    _empty(folder)
    partial = folder / _PARTIAL
    try:
        _download(wanted, registry, partial, wait)
        found = digest_of(partial)
        if found != wanted.digest:
            next_step = "register a new version" if wanted.is_registered else "put them back, or correct the digest"
            message = f"the files at {wanted.source} have the digest {found}, not {wanted.digest}: {next_step}"
            raise FetchFailed(Reason.DigestMismatch, message)
        if wanted.layout == "triton":
            _lay_out_for_triton(wanted, partial)
        elif wanted.layout == "repository" and not (partial / wanted.name).is_dir():
            there = ", ".join(f'"{each.name}"' for each in sorted(partial.iterdir()) if each.is_dir()) or "no folder"
            raise ArtifactRefused(
                f'the repository has {there}: name the model\'s folder "{wanted.name}", as it is asked for'
            )
        for each in sorted(partial.iterdir()):
            each.rename(folder / each.name)
        partial.rmdir()
    except ArtifactRefused as error:
        _empty(folder)
        raise FetchFailed(Reason.ArtifactRefused, _line(error)) from error
    except OSError as error:
        _empty(folder)
        reason = Reason.NoRoom if error.errno in (errno.ENOSPC, errno.EDQUOT) else Reason.FetchFailed
        raise FetchFailed(reason, f"{folder} cannot be written: {os.strerror(error.errno or 0)}") from error
    except FetchFailed:
        _empty(folder)
        raise


def _download(wanted: Asked, registry: Source, partial: Path, wait: Callable[[float], None]) -> None:
    resolved = ResolvedModel(
        name=wanted.name, version=wanted.version, alias=None, artifact_uri=wanted.source, run_id=""
    )
    for pause in (*WAITS, None):
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        try:
            registry.fetch(resolved, partial)
            return
        except RegistryUnreachable as error:
            if pause is None:
                raise FetchFailed(error.reason, _line(error)) from error
            log.warning("the registry does not answer", again_in_seconds=pause, error=_line(error))
            wait(pause)
        except RegistryError as error:
            raise FetchFailed(error.reason, _line(error)) from error


def _lay_out_for_triton(wanted: Asked, partial: Path) -> None:
    """Make of the model's folder a repository of one model, for Triton's own ONNX Runtime."""
    artifact = open_artifact(partial, expected_digest=wanted.digest)
    served = Served(
        name=wanted.name,
        version=wanted.version,
        onnx=artifact.onnx_path,
        inputs=artifact.inputs,
        outputs=artifact.outputs,
        batching=Batching(
            max_batch_size=wanted.max_batch_size, max_queue_delay_microseconds=wanted.max_queue_delay_microseconds
        ),
        instances=wanted.instances,
        backend="onnxruntime",
        kind="KIND_GPU" if wanted.kind == "gpu" else "KIND_CPU",
    )
    files, beside = sorted(partial.iterdir()), partial / ".repository"
    version = beside / wanted.name / str(version_number(wanted.version))
    version.mkdir(parents=True)
    for each in files:
        each.rename(version / each.name)
    (version / artifact.onnx_path.relative_to(partial)).rename(version / "model.onnx")
    (beside / wanted.name / "config.pbtxt").write_text(config(served))
    (beside / wanted.name).rename(partial / wanted.name)
    beside.rmdir()


def _registry_url() -> str:
    url = os.environ.get(REGISTRY)
    if not url:
        raise _wrong(f"{REGISTRY} is not set: it names the registry")
    return url


def _empty(folder: Path) -> None:
    for each in folder.iterdir():
        if each.is_dir() and not each.is_symlink():
            shutil.rmtree(each)
        else:
            each.unlink()


def _wrong(message: str) -> FetchFailed:
    return FetchFailed(Reason.FetchFailed, message)


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def main() -> int:
    """Fetch; 1 where that fails, 2 where it was called wrongly."""
    log_as_json()
    if len(sys.argv) != 3 or sys.argv[1] in ("-h", "--help"):
        print(__doc__, file=sys.stderr)  # noqa: T201
        return 0 if sys.argv[1:] in (["-h"], ["--help"]) else 2
    try:
        wanted, folder = asked(sys.argv[1]), Path(sys.argv[2])
        began = time.monotonic()
        if wanted.is_registered:
            with MlflowRegistry(_registry_url()) as registry:
                fetch(wanted, registry, folder)
        else:
            fetch(wanted, Addresses(), folder)
    except FetchFailed as failure:
        print(f"{failure.reason}: {failure}", file=sys.stderr)  # noqa: T201
        return 1
    log.info("fetched", digest=wanted.digest, seconds=round(time.monotonic() - began, 2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
