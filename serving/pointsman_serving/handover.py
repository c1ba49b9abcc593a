"""What our side does before another runtime takes over the process: check the pinned model, write down its example.

Used by the starters of Triton, KServe and BentoML. The model has answered its example here, in ONNX Runtime, before the runtime
sees it: what Native refuses, they refuse in the same words.
"""

from __future__ import annotations

import base64
import os
import shutil
from collections.abc import Mapping, Sequence
from errno import EEXIST
from pathlib import Path

import orjson

from pointsman.local.example_probe import EXAMPLE
from pointsman.models.artifact import ModelArtifact, open_artifact
from pointsman.models.session import OnnxSession
from pointsman_serving.oip.codec import encode_request

KEPT = (
    "PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "ORT_DISABLE_TELEMETRY",
)  # fmt: skip


def checked(folder: Path, digest: str) -> ModelArtifact:
    """Open the model and have it answer its example. Raises ArtifactRefused or ProbeFailed."""
    artifact = open_artifact(folder, expected_digest=digest)
    OnnxSession(artifact).probe()
    return artifact


def example(artifact: ModelArtifact) -> bytes:
    """The file by which a supervisor asks whether the model answers: its example's first row, as a request's bytes."""
    rows = {each.name: each.shape[:1] == (-1,) for each in artifact.inputs}
    body, length = encode_request({name: each[:1] if rows[name] else each for name, each in artifact.example.items()})
    return orjson.dumps({"length": length, "body": base64.b64encode(body).decode()})


def lay_out(folder: Path, artifact: ModelArtifact, files: Mapping[str, bytes]) -> Path:
    """Make the folder anew with these files and the example, for its owner alone; its absolute path."""
    folder = folder.absolute()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    before = [each for each in folder.iterdir() if each.name != EXAMPLE]
    if before and not (folder / EXAMPLE).is_file():
        raise FileExistsError(EEXIST, "it holds something else, choose another --folder", str(folder))
    (folder / EXAMPLE).write_bytes(example(artifact))  # the mark of a folder of ours: there first, and never taken away
    for each in before:
        shutil.rmtree(each) if each.is_dir() and not each.is_symlink() else each.unlink()
    for name, content in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return folder


def surroundings() -> dict[str, str]:
    """The environment of a runtime that reads settings of its own there, certificates among them: few of ours, and our markers."""
    return {name: value for name, value in os.environ.items() if name in KEPT or name.startswith("POINTSMAN_")}


def become(command: Sequence[str | os.PathLike[str]], environment: Mapping[str, str]) -> int:
    """Go on as another program, in this process; there is no coming back. Raises OSError where it cannot be started."""
    os.execve(command[0], [os.fspath(each) for each in command], {**environment})
