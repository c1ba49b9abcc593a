"""A model's files from an address outside the registry: `s3:// gs:// hf:// https://`, and what a volume beside us holds.

`fetch` asks here as it asks the registry. A claim's volume, and the copy of an image's files, are mounted at VOLUME by the pod.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path, PurePosixPath

from pointsman.api.reasons import Reason
from pointsman.registry.port import FilesRefused, ModelNotFound, RegistryError, ResolvedModel
from pointsman_serving.environments import Environment, EnvironmentFailed
from pointsman_serving.storage.environment import ENVIRONMENT

VOLUME = Path("/mnt/source")
"""Where the pod mounts what `pvc://` and `oci://` lead to"""
DOWNLOAD = Path(__file__).with_name("download.py")
BOOKKEEPING = {"hf": ".cache", "https": ".git"}
"""What a client leaves among the files, with the time in it: no digest could ever hold with that"""

_ADVICE = re.compile(r" (For more information|An error happened while) .*")
_MISSING = re.compile(r"not found|does not exist|no model found|cannot locate|\b404\b", re.IGNORECASE)
_REFUSED = re.compile(r"authentication|access denied|credentials|forbidden|\b40[13]\b", re.IGNORECASE)


class NotBrought(RegistryError):
    """The files did not come: nobody answered, the credentials were refused, or the answer cannot be used."""

    reason = Reason.FetchFailed


class Addresses:
    """Fetches by address. `environment` holds KServe's clients; `volume` is where a pod's own source is mounted."""

    def __init__(self, environment: Environment = ENVIRONMENT, volume: Path = VOLUME) -> None:
        self._environment, self._volume = environment, volume

    def fetch(self, resolved: ResolvedModel, folder: Path) -> None:
        """Bring the files into this empty folder. Raises ModelNotFound, FilesRefused or NotBrought."""
        address = resolved.artifact_uri
        scheme, _, place = address.partition("://")
        if scheme in ("pvc", "oci"):
            inside = PurePosixPath(place.partition("/")[2]) if scheme == "pvc" else PurePosixPath()
            self._copy(address, inside, folder)
        else:
            said = self._download(address, folder)
            if scheme in BOOKKEEPING:
                shutil.rmtree(folder / BOOKKEEPING[scheme], ignore_errors=True)
            if not any(path.is_file() for path in folder.rglob("*")):
                raise _trouble(address, said)  # Hugging Face's client goes on with what it has, nothing at first

    def _copy(self, address: str, inside: PurePosixPath, folder: Path) -> None:
        """Links are copied as links, which no digest takes: who fills the volume cannot have us read elsewhere."""
        source = self._volume / inside
        if not source.resolve().is_relative_to(self._volume.resolve()):
            raise FilesRefused(f'"{address}" leads out of the volume: correct spec.model.uri')
        if not source.is_dir():
            raise ModelNotFound(f'"{address}" has no such folder: correct spec.model.uri, or put the model there')
        try:
            shutil.copytree(source, folder, symlinks=True, dirs_exist_ok=True)
        except shutil.Error as error:
            raise FilesRefused(f'"{address}" cannot be copied: {error.args[0][0][2]}') from error

    def _download(self, address: str, folder: Path) -> str:
        """By KServe's clients; what they said. Their own files have a folder beside: nothing else here can be written to."""
        try:
            python = self._environment.python
        except EnvironmentFailed as error:
            raise NotBrought(str(error)) from error
        scratch = folder.with_name(".scratch")
        scratch.mkdir()
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        environment |= {"HOME": str(scratch), "TMPDIR": str(scratch), "HF_HUB_DISABLE_TELEMETRY": "1"}
        try:
            ran = subprocess.run(
                [python, "-I", DOWNLOAD, address, folder],
                env=environment,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                check=False,
            )
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        if ran.returncode:
            raise _trouble(address, ran.stderr)
        return ran.stderr


def _trouble(address: str, said: str) -> RegistryError:
    """What the client's last line means for whoever wrote the address."""
    line = next((line.strip() for line in reversed(said.splitlines()) if line.strip()), "no files came")
    line = _ADVICE.sub("", line).removeprefix("Got: ").rstrip(".")
    if _REFUSED.search(line):
        return NotBrought(f'"{address}": {line}: correct the Secret of the pods\' ServiceAccount')
    if _MISSING.search(line):
        return ModelNotFound(f'"{address}": {line}: correct spec.model.uri, or put the model there')
    return NotBrought(f'"{address}": {line}')
