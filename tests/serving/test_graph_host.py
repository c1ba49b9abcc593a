"""Who has a graph and with which revision, over a real store: standing by, taking over, refusing, and starting again."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import numpy as np
import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pointsman.certificates.certify import certify
from pointsman.certificates.document import SignedCertificate
from pointsman.certificates.labelled import Labelled
from pointsman.certificates.promise import promises
from pointsman.certificates.report import BandReport
from pointsman.certificates.statement import Terms, statements
from pointsman.decisions import certificate_store
from pointsman.decisions.engine import Answer, Fenced
from pointsman.graphs.activity import QUIET
from pointsman.graphs.resolve import ResolvedGraph, resolve
from pointsman.library import load
from pointsman.store.database import connect
from pointsman.store.migrate import migrate
from pointsman_serving.graph import following
from pointsman_serving.graph.config import HostConfig
from pointsman_serving.graph.host import GraphHost, Overloaded
from pointsman_serving.graph.revision import RevisionRefused

EXAMPLE = Path(__file__).parents[2] / "manifests" / "examples" / "fraud"
PATIENCE = 30.0
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def resolved() -> ResolvedGraph:
    return load(EXAMPLE).graph.resolved


@pytest.fixture
def config(resolved: ResolvedGraph, database_url: str) -> Callable[..., HostConfig]:
    """The settings of a host; `changes` are its own."""

    def of(name: str = "a", *, wants: ResolvedGraph = resolved, **changes: object) -> HostConfig:
        return HostConfig(database_url=database_url, control_token="x" * 16, host_name=name, resolved=wants, **changes)

    return of


def another(resolved: ResolvedGraph, name: str = "2") -> ResolvedGraph:
    """Another revision, that decides alike."""
    return resolved.model_copy(update={"revision": f"sha256:{name * 64}"})


def unloadable(resolved: ResolvedGraph, folder: Path) -> ResolvedGraph:
    """A revision whose model lies nowhere yet."""
    node, model = next(iter(resolved.models.items()))
    models = {**resolved.models, node: model.model_copy(update={"folder": str(folder)})}
    return another(resolved.model_copy(update={"models": models}), "3")


@asynccontextmanager
async def hosts(*configs: HostConfig) -> AsyncIterator[list[GraphHost]]:
    """Hosts that are started one after the other."""
    async with AsyncExitStack() as stack:
        yield [await started(stack, config) for config in configs]


async def started(stack: AsyncExitStack, config: HostConfig) -> GraphHost:
    host = GraphHost(config)
    stack.push_async_callback(host.stop)
    await host.start()
    return host


def event(**changes: str) -> dict[str, str]:
    return {
        "transaction_id": uuid4().hex,
        "occurred_at": "2026-03-02T10:00:00Z",
        "amount": "12.50",
        "card_id": "c",
        "terminal_id": "t",
        "card_account": "a",
    } | changes


async def decided(host: GraphHost, events: int = 1) -> list[Answer]:
    return await host.decide([event() for _ in range(events)], synchronous=False)


async def until(fact: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not fact():
            await asyncio.sleep(0.02)


def run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(test())


def test_a_host_that_stands_by_takes_over_with_the_first_request_and_the_other_says_so(config) -> None:
    async def test() -> None:
        async with hosts(config("a"), config("b", standby=True)) as (a, b):
            await decided(a, 3)
            ready = b.readiness()
            assert (ready.ready, ready.standby, ready.probed) == (True, True, True)

            [answer] = await decided(b)
            assert answer["seq"] == 3
            assert not b.readiness().standby
            with pytest.raises((Fenced, Overloaded)):  # as it commits, or as it looks
                await decided(a)
            with pytest.raises(Overloaded, match="another host"):
                await decided(a)
            assert (a.readiness().ready, a.readiness().reason) == (False, "HostFailed")
            assert a.failure() is None  # Serve must not start it anew for that

    run(test)


def test_a_host_that_decides_tells_how_much_was_automatic_and_how_far_its_views_are(config) -> None:
    async def test() -> None:
        async with hosts(config("a"), config("b", standby=True)) as (a, b):
            assert a.readiness().activity == QUIET
            await decided(a, 3)
            activity = a.readiness().activity
            assert activity.automatic_percent in {0, 100}
            assert set(activity.newest_events.values()) == {datetime(2026, 3, 2, 10, tzinfo=UTC)}
            assert activity.newest_events.keys() == {view.metadata.name for view in a.config.resolved.views}
            await until(lambda: b.readiness().ready)
            assert b.readiness().activity == QUIET

    run(test)


def approves(host: GraphHost) -> BandReport | None:
    return next((each for each in host.readiness().bands if each.band == "approve"), None)


def with_another_score(resolved: ResolvedGraph, **fields: object) -> ResolvedGraph:
    return with_spec(resolved, score=resolved.graph.spec.score.replace("0.7", "0.71"), **fields)


@pytest.fixture
def required(resolved: ResolvedGraph) -> ResolvedGraph:
    return with_spec(resolved, certificates="Required")


@pytest.fixture
def certify_approval(database_url: str, owner_url: str) -> Callable[[ResolvedGraph], Awaitable[None]]:
    return lambda of: asyncio.to_thread(certified, of, database_url, owner_url)


def test_a_host_says_which_bands_are_certified_and_a_score_that_is_taken_over_without_certificates_ends_it(
    config, required, certify_approval
) -> None:
    async def test() -> None:
        async with hosts(config("a", wants=required)) as (host,):
            await until(lambda: approves(host) is not None)
            assert approves(host).reason == "NoLiveCertificate"
            assert (await decided(host))[0]["outcome"] == "review"
            await certify_approval(required)
            await until(lambda: approves(host).live)
            assert (await decided(host))[0]["outcome"] == "approve"
            await host.switch(with_another_score(required, on_missing_certificates="Review"))
            assert (await decided(host))[0]["outcome"] == "review"
            await until(lambda: approves(host).reason == "ScorerChanged")
            assert approves(host).message.endswith("changed since: score expression")

    run(test)


def test_a_revision_without_the_certificates_of_the_one_that_serves_waits_for_them_and_then_takes_over_by_itself(
    config, required, certify_approval
) -> None:
    edited = with_another_score(required)

    async def test() -> None:
        async with hosts(config("a", wants=required)) as (host,):
            await certify_approval(required)
            await until(lambda: approves(host) is not None and approves(host).live)
            host.follow(config("a", wants=edited))
            await until(lambda: host.readiness().awaits is not None)
            awaits = host.readiness().awaits
            assert (awaits.revision, [each.band for each in awaits.bands]) == (edited.revision, ["approve"])
            assert awaits.bands[0].message.endswith("changed since: score expression")
            assert await host.switch(edited) == required.revision
            answers = await decided(host, 3)
            assert {(each["outcome"], each["revision"]) for each in answers} == {("approve", required.revision)}

            await certify_approval(edited)
            answers = []
            while host.readiness().revision == required.revision:
                answers += await decided(host)
            answers += await decided(host)
            assert {each["outcome"] for each in answers} == {"approve"}
            assert answers[-1]["revision"] == edited.revision
            assert host.readiness().awaits is None

    run(test)


def test_one_that_waits_goes_back_to_waiting_after_a_start_and_what_served_serves(
    config, required, certify_approval, database_url
) -> None:
    edited = with_another_score(required)

    async def test() -> None:
        async with hosts(config("a", wants=required)) as (host,):
            await certify_approval(required)
            await decided(host)
        async with hosts(config("a", wants=edited)) as (host,):
            assert (host.readiness().revision, host.readiness().awaits.revision) == (required.revision, edited.revision)
            host.follow(config("a", wants=edited))
            assert (await decided(host))[0]["outcome"] == "approve"
            with connect(database_url) as connection:
                what = {
                    "segment": None,
                    "certificate_id": None,
                    "author": "monitor",
                    "comment": "",
                    "now": datetime.now(UTC),
                }
                certificate_store.demote(connection, required.graph_uid, "approve", **what)
            await until(lambda: host.readiness().revision == edited.revision)  # nothing was automatic any more
            assert host.readiness().awaits is None

    run(test)


def test_nothing_waits_for_a_revision_that_can_be_loaded_no_more(
    config, required, certify_approval, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    node, model = next(iter(required.models.items()))
    shutil.copytree(model.folder, folder)
    models = {**required.models, node: model.model_copy(update={"folder": str(folder)})}

    async def test() -> None:
        async with hosts(config("a", wants=required.model_copy(update={"models": models}))) as (host,):
            await certify_approval(required)
            await decided(host)
        shutil.rmtree(folder)
        edited = with_another_score(required)
        async with hosts(config("a", wants=edited)) as (host,):
            assert (host.readiness().revision, host.readiness().awaits) == (edited.revision, None)
            assert (await decided(host))[0]["outcome"] == "review"

    run(test)


def test_a_host_that_stands_by_says_that_what_it_has_waits_beside_what_serves(
    config, required, certify_approval
) -> None:
    edited = with_another_score(required)

    async def test() -> None:
        async with hosts(config("a", wants=required)) as (a,):
            await certify_approval(required)
            await decided(a)
            async with hosts(config("b", wants=edited, standby=True)) as (b,):
                ready = b.readiness()
                assert (ready.ready, ready.revision, ready.awaits.revision) == (True, edited.revision, edited.revision)
                await certify_approval(edited)
                await until(lambda: b.readiness().awaits is None)
                assert (await decided(b))[0]["outcome"] == "approve"

    run(test)


def with_spec(resolved: ResolvedGraph, **fields: object) -> ResolvedGraph:
    graph = resolved.graph.model_copy(update={"spec": resolved.graph.spec.model_copy(update=fields)})
    parts = {"stream": resolved.stream, "views": resolved.views, "targets": resolved.targets, "models": resolved.models}
    return resolve(graph=graph, **parts)


def certified(resolved: ResolvedGraph, database_url: str, owner_url: str) -> None:
    """The band that approves, by labels of which none is wrong."""
    key, now = Ed25519PrivateKey.generate(), datetime.now(UTC)
    n = 8000
    ids = [at.to_bytes(16, "big") for at in range(n)]
    labelled = Labelled(ids=ids, scores=np.zeros(n), labels=np.zeros(n, dtype=np.bool_))
    terms = Terms(issuer="ann", issued=now, expires=now + timedelta(days=1))
    outcomes = certify(labelled, promises(resolved))
    made = statements(outcomes, labelled, resolved, terms, [uuid4() for _ in outcomes])
    with connect(owner_url) as owner:
        certificate_store.add_key(owner, key.public_key(), now)
    with connect(database_url) as connection:
        assert certificate_store.issue(connection, [SignedCertificate.sign(each, key) for each in made]) == 1


def test_a_host_without_a_request_knows_within_seconds_that_it_was_taken_over_from(config) -> None:
    async def test() -> None:
        async with hosts(config("a"), config("b")) as (a, b):
            await until(lambda: not a.readiness().ready)
            assert b.readiness().ready

    run(test)


def test_a_host_that_stands_by_takes_over_when_it_is_told_to(config) -> None:
    async def test() -> None:
        async with hosts(config("a"), config("b", standby=True)) as (a, b):
            b.follow(config("b"))
            await until(lambda: not b.readiness().standby)
            assert b.readiness().ready
            await until(lambda: not a.readiness().ready)

    run(test)


def test_one_that_was_taken_over_from_starts_again_and_takes_nothing_back(config, database_url: str) -> None:
    async def test() -> None:
        async with hosts(config("a"), config("b", standby=True)) as (a, b):
            await decided(a)
            await decided(b)
            async with hosts(config("a")) as (again,):  # as Serve does with a replica that died
                assert not again.readiness().ready
                assert again.failure() is None
                with pytest.raises(Overloaded, match="another host"):
                    await decided(again)
                again.follow(config("a", wants=another(again.config.resolved)))
                assert (await decided(b))[0]["seq"] == 2

    run(test)


def test_one_that_is_told_to_stand_by_again_takes_the_graph_back_when_it_is_asked(config) -> None:
    async def test() -> None:
        async with hosts(config("a"), config("b", standby=True)) as (a, b):
            await decided(a)
            await decided(b)
            await until(lambda: not a.readiness().ready)
            a.follow(config("a", standby=True))
            await until(lambda: a.readiness().standby)
            assert (await decided(b))[0]["seq"] == 2

            assert (await decided(a))[0]["seq"] == 3
            with pytest.raises((Fenced, Overloaded)):  # as it commits, or as it looks
                await decided(b)

    run(test)


def test_one_of_many_requests_takes_over_and_none_is_lost_or_doubled(config, database_url: str) -> None:
    async def test() -> None:
        async with hosts(config("a"), config("b", standby=True)) as (a, b):
            sent = [event() for _ in range(200)]

            async def to(host: GraphHost, each: dict[str, str]) -> Answer:
                (answer,) = await host.decide([each], synchronous=False)
                return answer

            async def surely(each: dict[str, str]) -> Answer:
                try:
                    return await to(a, each)
                except (Fenced, Overloaded):
                    return await to(b, each)

            first = asyncio.gather(*(surely(each) for each in sent[:100]))
            second = asyncio.gather(*(to(b, each) for each in sent[100:]))
            answers = [*await first, *await second]
            assert len({each["seq"] for each in answers}) == 200
            with connect(database_url) as connection:
                [(received, recorded)] = connection.execute(
                    "SELECT received, (SELECT count(*) FROM decisions) FROM graph_heads"
                ).fetchall()
            assert received == recorded == 200

    run(test)


def test_a_revision_is_switched_to_while_decisions_go_on(config, resolved: ResolvedGraph, database_url: str) -> None:
    async def test() -> None:
        async with hosts(config()) as (host,):
            answers = [*await decided(host)]
            host.follow(config(wants=another(resolved)))
            while host.readiness().revision == resolved.revision:
                answers += await decided(host)
            answers += await decided(host)
            assert [each["seq"] for each in answers] == list(range(len(answers)))
            assert answers[-1]["revision"] == another(resolved).revision
            with connect(database_url) as connection:
                [(serves,)] = connection.execute("SELECT revision FROM graph_heads").fetchall()
            assert serves == another(resolved).revision

    run(test)


def test_a_revision_that_cannot_be_loaded_is_refused_and_tried_again(
    config, resolved: ResolvedGraph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "RETRY_SECONDS", 0.05)
    wanted = unloadable(resolved, tmp_path / "model")

    async def test() -> None:
        async with hosts(config()) as (host,):
            host.follow(config(wants=wanted))
            await until(lambda: host.readiness().refused is not None)
            ready = host.readiness()
            assert ready.refused.revision == wanted.revision
            assert f'are not in "{tmp_path / "model"}"' in str(ready.refused)
            assert (ready.ready, ready.revision) == (True, resolved.revision)
            assert (await decided(host))[0]["revision"] == resolved.revision

            shutil.copytree(next(iter(resolved.models.values())).folder, tmp_path / "copy")
            (tmp_path / "copy").rename(tmp_path / "model")
            await until(lambda: host.readiness().revision == wanted.revision)
            assert host.readiness().refused is None

    run(test)


def test_what_asks_for_another_graph_is_refused(config, resolved: ResolvedGraph) -> None:
    stream = resolved.stream.model_copy(
        update={"metadata": resolved.stream.metadata.model_copy(update={"uid": str(uuid4())})}
    )

    async def test() -> None:
        async with hosts(config()) as (host,):
            with pytest.raises(RevisionRefused, match="a host of its own"):
                await host.switch(another(resolved.model_copy(update={"stream": stream})))

    run(test)


def test_a_host_that_cannot_load_what_it_is_told_starts_with_what_served_last(
    config, resolved: ResolvedGraph, tmp_path: Path
) -> None:
    wanted = unloadable(resolved, tmp_path / "nowhere")

    async def test() -> None:
        with pytest.raises(RevisionRefused, match="are not in"):
            await GraphHost(config(wants=wanted)).start()
        async with hosts(config(wants=another(resolved))) as (host,):
            await host.switch(resolved)  # the last to serve, though not the last to be recorded for the first time
            await host.switch(another(resolved))
            await host.switch(resolved)
        async with hosts(config(wants=wanted)) as (host,):
            ready = host.readiness()
            assert (ready.ready, ready.revision) == (True, resolved.revision)
            assert ready.refused.revision == wanted.revision
            assert (await decided(host))[0]["outcome"] == "approve"

    run(test)


def test_a_host_waits_for_a_store_that_is_not_there_yet(config, postgres, resolved: ResolvedGraph) -> None:
    name = f"late_{uuid4().hex[:12]}"
    later = config().model_copy(update={"database_url": postgres.url(name, "pointsman_app")})

    async def test() -> None:
        host = GraphHost(later)
        starting = asyncio.create_task(host.start())
        await until(lambda: host.readiness().reason == "DatabaseUnreachable")
        with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}" OWNER pointsman_owner')
        await asyncio.to_thread(migrate, postgres.url(name, "pointsman_owner"))
        await starting
        assert (await decided(host))[0]["seq"] == 0
        await host.stop()

    run(test)


def break_connections(postgres) -> None:
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'pointsman_app'")


def test_a_host_whose_connections_break_decides_on(config, postgres) -> None:
    async def test() -> None:
        async with hosts(config()) as (host,):
            for number in range(5):
                assert (await decided(host))[0]["seq"] == number
                break_connections(postgres)

    run(test)


def test_an_idle_host_whose_connections_broke_switches_all_the_same(config, postgres, resolved: ResolvedGraph) -> None:
    async def test() -> None:
        async with hosts(config()) as (host,):
            break_connections(postgres)
            host.follow(config(wants=another(resolved)))
            await until(lambda: host.readiness().revision == another(resolved).revision)
            assert (await decided(host))[0]["revision"] == another(resolved).revision

    run(test)
