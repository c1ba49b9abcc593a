"""Following a registry: a moved alias, one that is away, one that hangs, and models in a folder."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from pointsman.api.model_deployment import ModelDeployment
from pointsman.api.reasons import Reason
from pointsman.deployments.plan import Pinned
from pointsman.local import registry_watch
from pointsman.local.registry_watch import Known, RegistryWatch
from pointsman.models.artifact import digest_of
from pointsman.registry.port import AliasNotFound, ModelUri, RegistryUnreachable, ResolvedModel

MODEL = Path(__file__).parents[2] / "manifests" / "examples" / "fraud" / "models" / "fraud-scorer"
URI = "models:/fraud@champion"


class Folders:
    """A registry of one model whose versions are folders; `alias` says which one the alias means."""

    def __init__(self, *folders: Path) -> None:
        self.folders, self.alias = folders, 1
        self.away: Exception | None = None
        self.hangs: threading.Event | None = None
        self.fetched = list[str]()

    def resolve(self, uri: ModelUri) -> ResolvedModel:
        if self.hangs is not None and uri.name == "slow":
            self.hangs.wait(20)
        if self.away is not None:
            raise self.away
        version = uri.version or str(self.alias)
        return ResolvedModel(name=uri.name, version=version, alias=uri.alias, artifact_uri="", run_id="r")

    def fetch(self, resolved: ResolvedModel, folder: Path) -> None:
        self.fetched.append(resolved.version)
        shutil.copytree(self.folders[int(resolved.version) - 1], folder, dirs_exist_ok=True)


@pytest.fixture(autouse=True)
def _asked_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry_watch, "POLL_SECONDS", 0.01)


@pytest.fixture
def registry(tmp_path: Path) -> Folders:
    other = tmp_path / "second"
    shutil.copytree(MODEL, other)
    (other / "notes.txt").write_text("other bytes\n")
    return Folders(MODEL, other)


def deployment(name: str = "fraud", **model: str) -> dict[str, ModelDeployment]:
    document = {"metadata": {"name": name}, "spec": {"model": model or {"uri": URI}}}
    return {name: ModelDeployment.model_validate(document)}


def follow(
    registry: Any, models: Path, story: Callable[[RegistryWatch, Callable[..., Awaitable[Known]]], Awaitable[None]]
) -> None:
    async def run() -> None:
        woken = asyncio.Event()
        watch = RegistryWatch(registry, models=models, changed=woken.set)

        async def until(fact: Callable[[Known], bool], name: str = "fraud") -> Known:
            async with asyncio.timeout(20):
                while not fact(watch.known(name)):
                    woken.clear()
                    await woken.wait()
            return watch.known(name)

        try:
            await story(watch, until)
        finally:
            await watch.close()

    asyncio.run(run())


def version(known: Known) -> str | None:
    return None if known.pin is None else known.pin.version


def reason(known: Known) -> Reason | None:
    return None if known.trouble is None else known.trouble.reason


def test_a_moved_alias_is_noticed_and_each_version_is_fetched_once(registry: Folders, tmp_path: Path) -> None:
    async def story(watch: RegistryWatch, until: Any) -> None:
        watch.watch(deployment())
        first = await until(lambda known: version(known) == "1")
        assert first.pin.folder.is_dir()
        registry.alias = 2
        second = await until(lambda known: version(known) == "2")
        assert second.pin.digest == digest_of(registry.folders[1])
        assert second.pinned == Pinned(uri=URI, version="2", digest=second.pin.digest)

    follow(registry, tmp_path, story)
    assert registry.fetched == ["1", "2"]


def test_a_registry_that_goes_away_keeps_the_pin_and_its_trouble_ends_with_it(
    registry: Folders, tmp_path: Path
) -> None:
    async def story(watch: RegistryWatch, until: Any) -> None:
        watch.watch(deployment())
        await until(lambda known: version(known) == "1")
        registry.away = RegistryUnreachable("nobody answers")
        away = await until(lambda known: known.trouble is not None)
        assert (version(away), reason(away), away.trouble.message) == ("1", "RegistryUnreachable", "nobody answers")
        registry.away = AliasNotFound("no such alias")
        assert version(await until(lambda known: reason(known) is Reason.AliasNotFound)) == "1"
        registry.away = ValueError("a bug of ours")
        assert version(await until(lambda known: "a bug" in known.trouble.message)) == "1"
        registry.away = None
        assert version(await until(lambda known: known.trouble is None)) == "1"

    follow(registry, tmp_path, story)


def test_one_model_that_hangs_keeps_no_other_waiting(registry: Folders, tmp_path: Path) -> None:
    registry.hangs = threading.Event()

    async def story(watch: RegistryWatch, until: Any) -> None:
        assert registry.hangs is not None
        watch.watch({**deployment("slow", uri="models:/slow@champion"), **deployment()})
        await until(lambda known: version(known) == "1")
        assert watch.known("slow") == Known()
        registry.hangs.set()
        await until(lambda known: version(known) == "1", "slow")

    follow(registry, tmp_path, story)


def test_another_reference_is_asked_anew_and_what_is_gone_is_forgotten(registry: Folders, tmp_path: Path) -> None:
    async def story(watch: RegistryWatch, until: Any) -> None:
        watch.watch(deployment())
        await until(lambda known: version(known) == "1")
        watch.watch(deployment(uri="models:/fraud/2"))
        assert watch.known("fraud") == Known()
        await until(lambda known: version(known) == "2")
        watch.watch({})
        assert watch.known("fraud") == Known()

    follow(registry, tmp_path, story)


def test_a_pin_from_before_is_used_while_the_registry_is_away(registry: Folders, tmp_path: Path) -> None:
    async def pin(watch: RegistryWatch, until: Any) -> None:
        watch.watch(deployment())
        await until(lambda known: version(known) == "1")

    follow(registry, tmp_path, pin)
    registry.away = RegistryUnreachable("not up yet")
    before = Pinned(uri=URI, version="1", digest=digest_of(MODEL))

    async def again(watch: RegistryWatch, until: Any) -> None:
        watch.remember("fraud", before)
        watch.remember("gone", Pinned(uri=URI, version="9", digest="sha256:" + "9" * 64))
        assert watch.known("fraud").pinned == before
        assert watch.known("gone").pinned is None, "its files are not there"
        watch.watch(deployment())
        assert version(await until(lambda known: known.trouble is not None)) == "1"
        registry.away = None
        await until(lambda known: known.trouble is None)

    follow(registry, tmp_path, again)
    assert registry.fetched == ["1"], "the same version is not fetched again"


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ({"uri": MODEL.as_uri(), "digest": digest_of(MODEL)}, None),
        ({"uri": MODEL.as_uri(), "digest": "sha256:" + "0" * 64}, Reason.ArtifactRefused),
        ({"uri": "file:///no/such/folder", "digest": "sha256:" + "0" * 64}, Reason.InvalidReference),
        ({"uri": "file://elsewhere/folder", "digest": "sha256:" + "0" * 64}, Reason.InvalidReference),
        ({"uri": "s3://bucket/model", "digest": "sha256:" + "0" * 64}, Reason.InvalidReference),
        ({"uri": URI, "digest": "sha256:" + "0" * 64}, Reason.DigestMismatch),
        ({"uri": URI, "digest": digest_of(MODEL)}, None),
    ],
    ids=[
        "a folder with the right digest is pinned",
        "a folder with other bytes is refused",
        "a folder that is not there is named",
        "a folder of another machine is named",
        "what is not fetched here is named",
        "a version of the registry with other bytes than were asked for is refused",
        "a version of the registry with the bytes that were asked for is pinned",
    ],
)  # fmt: skip
def test_a_reference_with_a_digest(
    model: dict[str, str], expected: Reason | None, registry: Folders, tmp_path: Path
) -> None:
    async def story(watch: RegistryWatch, until: Any) -> None:
        watch.watch(deployment(**model))
        known = await until(lambda known: known != Known())
        assert reason(known) == expected
        assert (known.pin is not None) == (expected is None)
        if known.pin is not None:
            assert known.pin.digest == digest_of(known.pin.folder) == model["digest"]

    follow(registry, tmp_path, story)


def test_a_linked_file_in_a_folder_is_refused(registry: Folders, tmp_path: Path) -> None:
    folder = tmp_path / "linked"
    shutil.copytree(MODEL, folder)
    (folder / "passwd").symlink_to("/etc/passwd")

    async def story(watch: RegistryWatch, until: Any) -> None:
        watch.watch(deployment(uri=folder.as_uri(), digest="sha256:" + "0" * 64))
        assert reason(await until(lambda known: known != Known())) is Reason.ArtifactRefused

    models = tmp_path / "models"
    models.mkdir()
    follow(registry, models, story)
