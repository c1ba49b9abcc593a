"""The control socket over a real socket and a real database; nothing is supervised."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from pointsman.api.documents import load, plain
from pointsman.local.applied_objects import AppliedObjects
from pointsman.local.client import ControlClient, ControlError, NotRunning
from pointsman.local.control import ControlSocket
from pointsman.local.home import Home
from pointsman.local.objects import ObjectStore
from pointsman.local.secrets import SecretStore
from pointsman.local.shown import Shown

EXAMPLE = Path(__file__).parents[2] / "manifests" / "examples" / "fraud"
DOCUMENTS = [plain(each) for each in load(EXAMPLE)]
SECRET = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "accounts-token"}, "stringData": {"token": "t"}}
T = TypeVar("T")
Talk = Callable[[Callable[[ControlClient], T]], T]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home that nobody supervises."""
    return Home(tmp_path / "home").create()


@pytest.fixture
def talk(home: Home, database_url: str) -> Any:
    """Run what talks to a freshly opened socket; the objects are those of the test's database."""

    def run(conversation: Callable[[ControlClient], T], *, loaded: bool = True) -> T:
        async def serve() -> T:
            objects = AppliedObjects(ObjectStore(database_url), SecretStore(home.secrets), changed=lambda: None)
            if loaded:
                await objects.load()
            control = ControlSocket(
                objects,
                path=home.control_socket,
                shown=lambda: Shown(home=home, applied=objects.now, processes={}, booting=None if loaded else "x"),
                database_url=database_url,
                stop=lambda: (home.root / "stopped").touch(),
            )
            try:
                async with control:
                    return await asyncio.to_thread(conversation, ControlClient(home))
            finally:
                objects.close()

        return asyncio.run(serve())

    return run


def refusal(call: Callable[[], object]) -> ControlError:
    with pytest.raises(ControlError) as raised:
        call()
    return raised.value


def results(answer: list[dict[str, str]]) -> dict[str, str]:
    return {f"{each['kind']}/{each['name']}": each["result"] for each in answer}


def test_only_the_owner_reaches_the_socket_and_it_goes_with_the_server(home: Home, talk: Talk[Any]) -> None:
    mode = talk(lambda client: client.status() and home.control_socket.stat().st_mode)
    assert stat.S_IMODE(mode) == 0o600
    assert not home.control_socket.exists()


def test_without_a_supervisor_nothing_is_running(home: Home) -> None:
    with pytest.raises(NotRunning):
        ControlClient(home).status()
    with pytest.raises(NotRunning):
        ControlClient(home).wait_ready(5, lives=lambda: False)


def test_applying_creates_then_leaves_unchanged_then_configures(talk: Talk[Any]) -> None:
    def conversation(client: ControlClient) -> None:
        assert set(results(client.apply(DOCUMENTS)).values()) == {"created"}
        first = client.get("FeatureView", "card-activity")
        assert set(results(client.apply(DOCUMENTS)).values()) == {"unchanged"}
        assert client.get("FeatureView", "card-activity") == first
        assert first["metadata"]["generation"] == 1

        changed = {**first, "spec": {**first["spec"], "allowedLateness": "2h"}}
        assert results(client.apply([changed])) == {"FeatureView/card-activity": "configured"}
        after = client.get("FeatureView", "card-activity")
        assert (after["metadata"]["generation"], after["metadata"]["uid"]) == (2, first["metadata"]["uid"])
        assert after["spec"]["allowedLateness"] == "2h"

        labelled = {**after, "metadata": {"name": "card-activity", "labels": {"team": "risk"}}}
        assert results(client.apply([labelled])) == {"FeatureView/card-activity": "configured"}
        assert client.get("FeatureView", "card-activity")["metadata"]["generation"] == 2, "the spec is the same"

    talk(conversation)


def test_what_is_applied_is_there_after_a_restart(talk: Talk[Any]) -> None:
    applied = talk(lambda client: (client.apply(DOCUMENTS), client.objects())[1])
    assert talk(lambda client: client.objects()) == applied
    assert len(applied) == len(DOCUMENTS)
    assert {each["kind"] for each in talk(lambda client: client.objects("FeatureView"))} == {"FeatureView"}


def test_a_dry_run_says_what_would_be_and_changes_nothing(home: Home, talk: Talk[Any]) -> None:
    def conversation(client: ControlClient) -> None:
        assert set(results(client.apply([*DOCUMENTS, SECRET], dry_run=True)).values()) == {"created"}
        assert client.objects() == []

    talk(conversation)
    assert SecretStore(home.secrets).get("accounts-token", "token") is None


def test_a_secret_is_kept_in_a_file_and_never_shown_and_a_new_value_is_a_change(home: Home, talk: Talk[Any]) -> None:
    def conversation(client: ControlClient) -> None:
        assert results(client.apply([SECRET])) == {"Secret/accounts-token": "created"}
        assert client.get("Secret", "accounts-token")["data"] == {"token": ""}
        assert results(client.apply([SECRET])) == {"Secret/accounts-token": "unchanged"}
        other = {**SECRET, "stringData": {"token": "u"}}
        assert results(client.apply([other])) == {"Secret/accounts-token": "configured"}

    talk(conversation)
    assert SecretStore(home.secrets).get("accounts-token", "token") == "u"


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({**DOCUMENTS[-1], "metadata": {"name": "other"}, "spec": {}}, "spec"),
        ({**SECRET, "metadata": {"name": "pointsman-control"}}, "names that begin with pointsman- are ours"),
        ({**SECRET, "immutable": True}, "immutable"),
        ({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}, "ConfigMap"),
    ],
    ids=["an empty spec", "a secret of ours", "a field that is not honoured", "a kind that nothing stands in for"],
)
def test_documents_that_cannot_be_honoured_are_refused_and_none_is_kept(
    document: Any, said: str, talk: Talk[Any]
) -> None:
    def conversation(client: ControlClient) -> ControlError:
        error = refusal(lambda: client.apply([*DOCUMENTS[:2], document]))
        assert client.objects() == []
        return error

    error = talk(conversation)
    assert error.status == 422
    assert said in str(error)


def test_what_is_still_referred_to_is_not_deleted_unless_that_is_forced(talk: Talk[Any]) -> None:
    def conversation(client: ControlClient) -> None:
        client.apply([*DOCUMENTS, SECRET])
        error = refusal(lambda: client.delete("EventStream", "transactions"))
        assert error.status == 409
        assert 'DecisionGraph "card-fraud"' in str(error)
        assert 'FeatureView "card-activity"' in str(error)
        error = refusal(lambda: client.delete("Secret", "accounts-token"))
        assert 'Deployment "accounts", ActionTarget "accounts"' in str(error)

        client.delete("EventStream", "transactions", force=True)
        client.delete("DecisionGraph", "card-fraud")
        client.delete("ModelDeployment", "fraud-scorer")
        assert not {each["kind"] for each in client.objects()} & {"EventStream", "DecisionGraph"}

    talk(conversation)


def test_a_deleted_secret_is_gone_from_its_folder(home: Home, talk: Talk[Any]) -> None:
    talk(lambda client: (client.apply([SECRET]), client.delete("Secret", "accounts-token")))
    assert SecretStore(home.secrets).get("accounts-token", "token") is None


def test_what_is_not_there_is_named_with_what_is(talk: Talk[Any]) -> None:
    def conversation(client: ControlClient) -> None:
        client.apply(DOCUMENTS)
        for call in (
            lambda: client.get("FeatureView", "card"),
            lambda: client.delete("FeatureView", "card"),
            lambda: client.explain("FeatureView", "card"),
        ):
            error = refusal(call)
            assert (error.status, str(error)) == (404, 'no FeatureView is called "card"')
            assert error.hint == "there are card-activity, terminal-activity"
        assert refusal(lambda: client.explain_decision("0123abcd")).status == 404

    talk(conversation)


def test_before_the_database_is_up_one_is_told_so(talk: Any) -> None:
    def conversation(client: ControlClient) -> None:
        assert client.status()["waitingFor"] == "x"
        error = refusal(lambda: client.apply(DOCUMENTS))
        assert (error.status, str(error)) == (503, "the database is still starting")

    talk(conversation, loaded=False)


def test_a_connection_that_the_database_has_cut_off_is_made_again(
    postgres: Any, database: str, talk: Talk[Any]
) -> None:
    import psycopg

    def conversation(client: ControlClient) -> None:
        client.apply(DOCUMENTS[:1])
        with psycopg.connect(postgres.url("postgres"), autocommit=True) as admin:
            admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (database,))
        assert set(results(client.apply(DOCUMENTS)).values()) == {"created", "unchanged"}

    talk(conversation)


def test_it_lists_logs_and_passes_on_that_it_is_to_stop(home: Home, talk: Talk[Any]) -> None:
    (home.logs / "mlflow.log").touch()
    logs = talk(lambda client: (client.down(), client.logs())[1])
    assert logs == [{"name": "mlflow", "path": str(home.logs / "mlflow.log")}]
    assert (home.root / "stopped").exists()
