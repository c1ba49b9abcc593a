"""MLflow as a model registry, over its REST interface: no MLflow in this process, which would take seconds to import.

Files come through the server's artifact proxy (`mlflow-artifacts:`), or from a folder of this machine where the one who
configures the adapter allows it. What the server says is not trusted: names, sizes and places are checked before a byte
is written.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, unquote, urlsplit

import httpx2

from pointsman.registry.port import (
    AliasNotFound,
    FilesRefused,
    ModelNotFound,
    ModelUri,
    ModelVersion,
    RegistryUnreachable,
    ResolvedModel,
)

API = "/api/2.0/mlflow"
PROXY = "/api/2.0/mlflow-artifacts/artifacts"
HERE = PurePosixPath()


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a version may hold, and how long the registry may take (seconds)."""

    files: int = 200
    depth: int = 8
    total_bytes: int = 2 * 1024**3
    answer_bytes: int = 4 * 1024**2
    """of one JSON answer"""
    connect_seconds: float = 5.0
    read_seconds: float = 30.0


@dataclass(frozen=True, kw_only=True)
class _File:
    """A file of a version: its path below the version's root, and its size."""

    path: PurePosixPath
    size: int


class MlflowRegistry:
    """One MLflow server. Holds a connection pool: close it, or use it as a context manager. Safe over threads.

    `local_root` is the folder below which `file:` artifacts may be read; None refuses them all. `token` is sent as a
    bearer token.
    """

    def __init__(
        self, url: str, *, local_root: Path | None = None, token: str | None = None, limits: Limits | None = None
    ) -> None:
        self._url, self._limits = url.rstrip("/"), limits or Limits()
        self._local_root = local_root.resolve() if local_root else None
        self._client = httpx2.Client(
            base_url=self._url,
            headers={"Authorization": f"Bearer {token}"} if token else {},
            timeout=httpx2.Timeout(self._limits.read_seconds, connect=self._limits.connect_seconds),
            follow_redirects=False,
            trust_env=False,  # a proxy of the environment is for the internet, a registry is a neighbour
        )

    def close(self) -> None:
        """End the connections."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def resolve(self, uri: ModelUri) -> ResolvedModel:
        """See Registry.resolve."""
        found = self._aliased(uri, uri.alias) if uri.alias is not None else self._versioned(uri)
        version, status = str(found.get("version", "")), found.get("status", "READY")
        if not version.isdecimal():
            raise self._strange(f'"{uri}" has a version that is no number')
        if status != "READY":
            raise ModelNotFound(f'version {version} of "{uri.name}" is not ready: its status is "{status}"')
        place = self._get(f"{API}/model-versions/get-download-uri", {"name": uri.name, "version": version})
        return ResolvedModel(
            name=uri.name,
            version=version,
            alias=uri.alias,
            artifact_uri=str((place or {}).get("artifact_uri") or found.get("source", "")),
            run_id=str(found.get("run_id", "")),
        )

    def fetch(self, resolved: ResolvedModel, folder: Path) -> None:
        """See Registry.fetch."""
        place = urlsplit(resolved.artifact_uri)
        path = PurePosixPath(unquote(place.path))
        if ".." in path.parts:
            raise FilesRefused(f'the place of the files climbs: "{resolved.artifact_uri}"')
        if place.scheme == "mlflow-artifacts":
            files = self._proxied(path.relative_to("/"), folder)
        elif place.scheme in ("", "file") and place.netloc in ("", "localhost"):
            files = self._copied(Path(path), folder)
        else:
            raise FilesRefused(
                f'the files are at "{resolved.artifact_uri}": let the MLflow server hand them out (--serve-artifacts)'
            )
        if not files:
            raise FilesRefused(f'version {resolved.version} of "{resolved.name}" has no files')

    def read(self, source: str, name: str) -> bytes | None:
        """See Registry.read."""
        place = urlsplit(source)
        path = PurePosixPath(unquote(place.path))
        if place.scheme != "mlflow-artifacts" or ".." in path.parts or not _is_safe(name):
            raise FilesRefused(f'the file "{name}" cannot be read at "{source}"')
        try:
            with self._client.stream("GET", f"{PROXY}/{quote(str(path.relative_to('/') / name))}") as answer:
                if answer.status_code == 404:
                    return None
                if answer.status_code != 200:
                    raise self._strange(f'status {answer.status_code} for "{path / name}"')
                content = bytearray()
                for chunk in answer.iter_bytes():
                    content += chunk
                    if len(content) > self._limits.answer_bytes:
                        raise self._too_much()
                return bytes(content)
        except (httpx2.HTTPError, httpx2.StreamError) as error:
            raise self._unreachable(error) from error

    def tags(self, version: ModelVersion) -> Mapping[str, str] | None:
        """See Registry.tags."""
        answer = self._get(f"{API}/model-versions/get", {"name": version.name, "version": version.version})
        if answer is None:
            return None
        return {
            str(tag.get("key")): str(tag.get("value")) for tag in self._part(answer, "model_version").get("tags", ())
        }

    def tag(self, version: ModelVersion, name: str, value: str) -> None:
        """See Registry.tag."""
        body = {"name": version.name, "version": version.version, "key": name, "value": value}
        self._ask("POST", f"{API}/model-versions/set-tag", json=body)

    def _aliased(self, uri: ModelUri, alias: str) -> Mapping[str, Any]:
        answer = self._get(f"{API}/registered-models/alias", {"name": uri.name, "alias": alias})
        if answer is not None:
            return self._part(answer, "model_version")
        model = self._get(f"{API}/registered-models/get", {"name": uri.name})
        if model is None:
            raise self._no_model(uri.name)
        aliases = [str(each.get("alias")) for each in self._part(model, "registered_model").get("aliases", [])]
        raise AliasNotFound(f'model "{uri.name}" has no alias "{uri.alias}"; {_choice(uri.alias or "", aliases)}')

    def _versioned(self, uri: ModelUri) -> Mapping[str, Any]:
        answer = self._get(f"{API}/model-versions/get", {"name": uri.name, "version": uri.version or ""})
        if answer is not None:
            return self._part(answer, "model_version")
        if self._get(f"{API}/registered-models/get", {"name": uri.name}) is None:
            raise self._no_model(uri.name)
        raise ModelNotFound(f'model "{uri.name}" has no version {uri.version}')

    def _no_model(self, name: str) -> ModelNotFound:
        answer = self._get(f"{API}/registered-models/search", {"max_results": "100"}) or {}
        names = [str(each.get("name")) for each in answer.get("registered_models", [])]
        return ModelNotFound(f'the registry at {self._url} has no model "{name}"; {_choice(name, names)}')

    def _proxied(self, root: PurePosixPath, folder: Path) -> int:
        budget, count = self._limits.total_bytes, 0
        for file in self._listed(root):
            count += 1
            if count > self._limits.files or file.size > budget:
                raise self._too_much()
            target = folder.joinpath(*file.path.parts)
            target.parent.mkdir(parents=True, exist_ok=True)
            budget -= self._download(root / file.path, target, budget)
        return count

    def _listed(self, root: PurePosixPath, below: PurePosixPath = HERE) -> Iterator[_File]:
        if len(below.parts) > self._limits.depth:
            raise self._too_much()
        answer = self._get(PROXY, {"path": str(root / below)})
        for entry in (answer or {}).get("files", []):
            name = PurePosixPath(str(entry.get("path", "")))
            if len(name.parts) != 1 or not _is_safe(name.name):
                raise FilesRefused(f'a file has a name that is not safe: "{name}"')
            if entry.get("is_dir"):
                yield from self._listed(root, below / name)
            else:
                yield _File(path=below / name, size=int(entry.get("file_size") or 0))

    def _download(self, path: PurePosixPath, target: Path, budget: int) -> int:
        """Write one file; what the listing said of its size is not relied upon. Returns the bytes written."""
        written = 0
        try:
            with (
                self._client.stream("GET", f"{PROXY}/{quote(str(path))}") as answer,
                target.open("xb") as file,
            ):
                if answer.status_code != 200:
                    raise self._strange(f'status {answer.status_code} for "{path}"')
                for chunk in answer.iter_bytes():
                    written += len(chunk)
                    if written > budget:
                        raise self._too_much()
                    file.write(chunk)
        except FileExistsError as error:
            raise FilesRefused(f'a file is listed twice: "{path.name}"') from error
        except (httpx2.HTTPError, httpx2.StreamError) as error:
            raise self._unreachable(error) from error
        return written

    def _copied(self, source: Path, folder: Path) -> int:
        if self._local_root is None or not source.resolve().is_relative_to(self._local_root):
            raise FilesRefused(f'files of this machine are not read from "{source}": the registry may not name it')
        budget, count = self._limits.total_bytes, 0
        for file in sorted(source.rglob("*")):
            if file.is_symlink():
                raise FilesRefused(f'a link stands among the files: "{file.name}"')
            if not file.is_file():
                continue
            count, budget = count + 1, budget - file.stat().st_size
            if count > self._limits.files or budget < 0:
                raise self._too_much()
            target = folder / file.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.read_bytes())
        return count

    def _get(self, path: str, query: Mapping[str, str]) -> Mapping[str, Any] | None:
        return self._ask("GET", path, params=dict(query))

    def _ask(self, method: str, path: str, **request: Any) -> Mapping[str, Any] | None:
        """The answer's JSON; None where the registry says that there is no such thing. Raises RegistryUnreachable."""
        try:
            answer = self._client.request(method, path, **request)
            if answer.status_code in (401, 403):
                raise RegistryUnreachable(
                    f"the model registry at {self._url} refuses this: {method} {path}: status {answer.status_code}"
                )
            if len(answer.content) > self._limits.answer_bytes:
                raise self._strange(f"an answer of {len(answer.content)} bytes")
            body = answer.json()
        except httpx2.HTTPError as error:
            raise self._unreachable(error) from error
        except ValueError as error:
            raise self._strange(f"an answer that is not JSON, with status {answer.status_code}") from error
        if not isinstance(body, dict):
            raise self._strange("an answer that is no object")
        if answer.status_code == 200:
            return body
        if _says_absent(answer.status_code, body):
            return None
        raise self._strange(f'status {answer.status_code}: "{str(body.get("message", ""))[:200]}"')

    def _part(self, answer: Mapping[str, Any], name: str) -> Mapping[str, Any]:
        part = answer.get(name)
        if not isinstance(part, dict):
            raise self._strange(f'an answer without "{name}"')
        return part

    def _unreachable(self, error: Exception) -> RegistryUnreachable:
        return RegistryUnreachable(f"the model registry at {self._url} does not answer: {type(error).__name__}")

    def _strange(self, what: str) -> RegistryUnreachable:
        return RegistryUnreachable(f"the model registry at {self._url} does not answer as MLflow does: {what}")

    def _too_much(self) -> FilesRefused:
        limits = self._limits
        return FilesRefused(
            f"more than {limits.files} files, {limits.total_bytes} bytes or {limits.depth} folders deep: no model is"
        )


def _says_absent(status: int, body: Mapping[str, Any]) -> bool:
    """MLflow 3 answers 404 for an absent model or version, and 400 for an absent alias."""
    code = body.get("error_code")
    if code == "RESOURCE_DOES_NOT_EXIST":
        return True
    return status == 400 and code == "INVALID_PARAMETER_VALUE" and "not found" in str(body.get("message", ""))


def _is_safe(name: str) -> bool:
    return name not in ("", ".", "..") and len(name) <= 255 and name.isprintable() and not set(name) & set('/\\:*?"<>|')


def _choice(wanted: str, names: list[str]) -> str:
    close = get_close_matches(wanted, names, n=1)
    if close:
        return f'did you mean "{close[0]}"?'
    shown = ", ".join(f'"{name}"' for name in sorted(names)[:10])
    return f"it has {shown}" if shown else "it has none"
