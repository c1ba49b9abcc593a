"""The files of a graph's models: where they lie, and how they come there. One folder a digest, whole or not there at all."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from pointsman.graphs import pod
from pointsman.graphs.resolve import ResolvedModel
from pointsman.registry.mlflow_rest import MlflowRegistry
from pointsman_serving.fetch import Asked, FetchFailed, fetch

_NAMED_BY_DIGEST = re.compile("[0-9a-f]{64}")


class FilesMissing(Exception):
    """A model's files are not there and cannot be fetched; one line."""


@dataclass(frozen=True, kw_only=True)
class ModelFiles:
    """Fetches from the registry into the folder what is nowhere yet; without a folder, nothing is fetched."""

    folder: Path | None = None
    registry_url: str | None = None

    def of(self, model: ResolvedModel) -> Path:
        """The model's folder. Its content is not checked where it was there before. Raises FilesMissing."""
        pinned = Path(model.folder)
        if pinned.is_dir():
            return pinned
        place = f'the files of model "{model.name}", version {model.version}'
        if self.folder is None or model.source is None:
            raise FilesMissing(f'{place}, are not in "{pinned}"')
        fetched = self.folder / model.digest.removeprefix("sha256:")
        if fetched.is_dir():
            return fetched
        if self.registry_url is None:
            raise FilesMissing(f"{place}, are not there, and {pod.REGISTRY_URL} names no registry to fetch them from")
        try:
            self._fetch(model, model.source, self.registry_url, fetched)
        except FetchFailed as failure:
            raise FilesMissing(f"{place}: {failure.reason}: {failure}") from failure
        except OSError as error:
            raise FilesMissing(f'{place}, cannot be written to "{self.folder}": {error.strerror}') from error
        return fetched

    def keep(self, digests: Collection[str]) -> None:
        """Remove what was fetched of other models: a folder of a pod is not for ever."""
        if self.folder is None or not self.folder.is_dir():
            return
        wanted = {digest.removeprefix("sha256:") for digest in digests}
        for each in self.folder.iterdir():
            if _NAMED_BY_DIGEST.fullmatch(each.name) and each.name not in wanted:
                shutil.rmtree(each, ignore_errors=True)

    def _fetch(self, model: ResolvedModel, source: str, registry_url: str, folder: Path) -> None:
        folder.parent.mkdir(parents=True, exist_ok=True)
        asked = Asked(source=source, digest=model.digest, version=model.version)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".fetching-") as beside:
            files = Path(beside) / "files"
            files.mkdir()
            with MlflowRegistry(registry_url) as registry:
                fetch(asked, registry, files)
            files.rename(folder)
