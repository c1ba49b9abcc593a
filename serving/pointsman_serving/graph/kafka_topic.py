"""One Kafka topic through librdkafka, for the reader of a graph. Every call blocks, and what it raises is our own.

`look` may be called beside `read`; all else belongs to one thread at a time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import structlog
from confluent_kafka import (
    TIMESTAMP_NOT_AVAILABLE,
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Message,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec

from pointsman.api.event_stream import KafkaSource
from pointsman.api.meta import SecretKeySource
from pointsman.api.reasons import Reason
from pointsman.decisions.offsets import Stretch
from pointsman.ingest import kafka
from pointsman.ingest.kafka import SourceTrouble, TopicSeen

ANSWER_SECONDS = 5.0
"""How long a broker may take to say what a topic is."""

T = TypeVar("T")
log = structlog.get_logger()


class Moved(Exception):
    """The topic is no longer what it was when its reading was begun: look at it again."""


@dataclass(frozen=True, kw_only=True)
class Records:
    """What was read at once: the events, where they stood, and when the newest was written (seconds since 1970), if they say."""

    events: Sequence[object]
    stretch: Stretch
    newest: float | None


@dataclass
class _Heard:
    """The last error that the client told beside its answers: a request that times out does not say why."""

    errors: list[KafkaError] = field(default_factory=list)

    def __call__(self, error: KafkaError) -> None:
        self.errors.append(error)

    def telling(self) -> KafkaError | None:
        """The one that tells most, of those since the last time; the same errors give the same one."""
        errors, self.errors = self.errors, []
        known = [each for each in errors if each.name() != "_ALL_BROKERS_DOWN"]
        return min(known, key=lambda each: (each.name() not in kafka.AUTHENTICATION, each.str()), default=None)


class KafkaTopic:
    """Two connections to one topic: one that reads, and one that asks how it is. Raises SourceTrouble."""

    def __init__(self, source: KafkaSource, group: str, secrets: Path | None) -> None:
        self._source = source
        self._heard = _Heard()
        settings = kafka.settings(source, lambda each: _secret(secrets, each))
        try:
            self._admin = AdminClient({**settings, "error_cb": self._heard})
            self._consumer = Consumer({**settings, **kafka.reading(group)})
        except KafkaException as error:
            raise SourceTrouble(Reason.InvalidSpec, f"spec.source.kafka: {error.args[0].str()}") from error
        self._seen: TopicSeen | None = None
        self._next = dict[int, int]()
        self.passed = dict[int, int]()
        """By partition, the offset up to which there was nothing more to read."""

    def look(self) -> TopicSeen:
        """The topic as it is now."""
        self._admin.poll(0)
        name = self._source.topic
        described = self._answer(
            self._admin.describe_topics(TopicCollection([name]), request_timeout=ANSWER_SECONDS)[name]
        )
        partitions = [TopicPartition(name, each.id) for each in described.partitions]
        asked = {
            spec: self._admin.list_offsets(
                dict.fromkeys(partitions, of),
                isolation_level=IsolationLevel.READ_COMMITTED,
                request_timeout=ANSWER_SECONDS,
            )
            for spec, of in (("first", OffsetSpec.earliest()), ("next", OffsetSpec.latest()))
        }
        ends = {
            each.partition: (self._answer(asked["first"][each]).offset, self._answer(asked["next"][each]).offset)
            for each in partitions
        }
        return TopicSeen(source=kafka.source_name(name, str(described.topic_id)), ends=ends)

    def begin(self, seen: TopicSeen, offsets: Mapping[int, int]) -> None:
        """Read all partitions from these offsets on."""
        self._seen, self._next = seen, dict(offsets)
        self.passed.clear()
        self._consumer.assign([TopicPartition(self._source.topic, *each) for each in offsets.items()])

    def read(self, most: int, seconds: float) -> Records:
        """What there is, at most so much; where there is nothing, wait for a first event. Raises Moved."""
        first = self._consumer.poll(seconds)
        messages = [] if first is None else [first, *self._consumer.consume(most - 1, 0)] if most > 1 else [first]
        read = [each for each in messages if self._is_event(each)]
        before, places = dict(self._next), [(each.partition(), each.offset()) for each in read]
        for partition, offset in places:
            self._next[partition] = offset + 1
        moves = {
            partition: (before[partition], self._next[partition])
            for partition in {partition for partition, _ in places}
        }
        times = [each.timestamp() for each in read]
        assert self._seen is not None
        stretch = Stretch(source=self._seen.source, label=kafka.label(self._source.topic), places=places, moves=moves)
        return Records(
            events=kafka.events_of([each.value() for each in read]),
            stretch=stretch,
            newest=max((at / 1000 for kind, at in times if kind != TIMESTAMP_NOT_AVAILABLE), default=None),
        )

    def tell(self, offsets: Mapping[int, int]) -> None:
        """Tell Kafka how far the graph is, for whoever watches the group. Whether it hears does not matter."""
        told = [TopicPartition(self._source.topic, *each) for each in offsets.items()]
        try:
            self._consumer.commit(offsets=told, asynchronous=True)
        except KafkaException as error:
            log.warning("Kafka was not told how far the graph is", error=error.args[0].str())

    def close(self) -> None:
        """Give the connections back."""
        self._consumer.close()

    def _is_event(self, message: Message) -> bool:
        error = message.error()
        if error is None:
            return True
        if error.code() == KafkaError._PARTITION_EOF:
            self.passed[message.partition()] = message.offset()
            return False
        if error.name() in {"_AUTO_OFFSET_RESET", "OFFSET_OUT_OF_RANGE"} | kafka.NO_TOPIC:
            raise Moved(error.str())
        if error.name() in kafka.NO_PERMISSION:
            raise kafka.trouble(self._source, error.name(), error.str())
        log.warning("Kafka says something about a partition", error=error.str())
        return False

    def _answer(self, future: Future[T]) -> T:
        try:
            return future.result(2 * ANSWER_SECONDS)
        except (KafkaException, TimeoutError) as error:
            said = error.args[0] if isinstance(error, KafkaException) else None
            self._admin.poll(0)
            if said is None or said.name() in {"_TIMED_OUT", "_TRANSPORT", "_ALL_BROKERS_DOWN"}:
                said = self._heard.telling() or said
            code, words = ("_TIMED_OUT", "no answer") if said is None else (said.name(), said.str())
            raise kafka.trouble(self._source, code, words) from None


def _secret(folder: Path | None, source: SecretKeySource) -> str:
    """A secret's value, from the file `<name>/<key>`."""
    reference = source.secret_key_ref
    try:
        if folder is not None:
            return (folder / reference.name / reference.key).read_text().rstrip("\r\n")
    except (OSError, UnicodeDecodeError):
        pass
    message = f'Secret "{reference.name}" has no key "{reference.key}" that can be read'
    raise SourceTrouble(Reason.SecretNotFound, message)
