"""Kafka as a source, decided: the client's settings, where reading begins, what a record holds, what an error means. Pure.

The host's reader (`pointsman_serving.graph.kafka_topic`) carries it out.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import orjson

from pointsman.api.event_stream import KafkaSource
from pointsman.api.meta import SecretKeySource
from pointsman.api.reasons import Reason
from pointsman.decisions.offsets import Offsets, Stretch
from pointsman.graphs.contract import Unread

MECHANISMS = {"Plain": "PLAIN", "ScramSHA256": "SCRAM-SHA-256", "ScramSHA512": "SCRAM-SHA-512"}
PREFETCHED = 8192
"""Records that the client fetches ahead of the reader, about; they are not taken in yet."""
PREFETCHED_BYTES = 16 * 1024 * 1024
"""And bytes, about, so that a batch of large records has an end."""

CHANGING = re.compile(r" \(after \d+ms in state \w+.*?\)|, \d+ identical error\(s\) suppressed")
"""What is different in librdkafka's words each time"""
AUTHENTICATION = frozenset({"_AUTHENTICATION", "SASL_AUTHENTICATION_FAILED", "UNSUPPORTED_SASL_MECHANISM"})
NO_PERMISSION = frozenset({"TOPIC_AUTHORIZATION_FAILED", "CLUSTER_AUTHORIZATION_FAILED"})
NO_TOPIC = frozenset({"UNKNOWN_TOPIC_OR_PART", "_UNKNOWN_TOPIC", "_UNKNOWN_PARTITION", "UNKNOWN_TOPIC_ID"})


class SourceTrouble(Exception):
    """The source cannot be read now. The message is a status's: it names the cause and no secret."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, kw_only=True)
class TopicSeen:
    """A topic as it is: by partition, the first offset that is kept and the one that comes next.

    `source` names it in the store. A topic that was deleted and made again is another source, and is read from its start.
    """

    source: str
    ends: Mapping[int, tuple[int, int]]


def source_name(topic: str, topic_id: str) -> str:
    """What a topic's offsets are kept under."""
    return f"kafka:{topic}/{topic_id}"


def label(topic: str) -> str:
    """What people and dead letters know a topic by."""
    return f"kafka:{topic}"


def settings(source: KafkaSource, secret: Callable[[SecretKeySource], str]) -> dict[str, str | int | bool]:
    """librdkafka's settings for every connection to the source."""
    wanted: dict[str, str | int | bool] = {
        "bootstrap.servers": ",".join(source.bootstrap_servers),
        "client.id": "pointsman",
        "reconnect.backoff.max.ms": 2000,
        "socket.keepalive.enable": True,
        "log_level": 2,  # what fails is in the status, once, and not in the log each time
    }
    tls, sasl = source.tls, source.sasl
    if tls is not None or sasl is not None:
        wanted["security.protocol"] = ("SASL_" if sasl else "") + ("SSL" if tls else "PLAINTEXT")
    if tls is not None:
        pems = {"ssl.ca.pem": tls.ca, "ssl.certificate.pem": tls.certificate, "ssl.key.pem": tls.key}
        wanted |= {name: secret(pem) for name, pem in pems.items() if pem is not None}
    if sasl is not None:
        wanted["sasl.mechanism"] = MECHANISMS[sasl.mechanism]
        wanted["sasl.username"], wanted["sasl.password"] = sasl.username, secret(sasl.password)
    return wanted


def reading(group: str) -> dict[str, str | int | bool]:
    """What the reader's connection has beside. The group is only told where we are; its offsets are never asked for."""
    return {
        "group.id": group,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",
        "enable.partition.eof": True,
        "isolation.level": "read_committed",
        "allow.auto.create.topics": False,
        "queued.min.messages": PREFETCHED,
        "queued.max.messages.kbytes": PREFETCHED_BYTES // 1024,
        "fetch.max.bytes": PREFETCHED_BYTES,
    }


def beginnings(seen: TopicSeen, offsets: Offsets, source: KafkaSource) -> dict[int, int]:
    """Where the partitions begin that the graph has not read yet.

    `startAt` is for a graph that has read nothing of the topic; whatever is added or made again later is read whole.
    """
    is_new = not any(name.startswith(source_name(source.topic, "")) for name, _ in offsets)
    latest = is_new and source.start_at == "Latest"
    return {
        partition: last if latest else first
        for partition, (first, last) in seen.ends.items()
        if (seen.source, partition) not in offsets
    }


def gaps(seen: TopicSeen, offsets: Offsets, topic: str) -> tuple[Sequence[Unread], Stretch] | None:
    """What the source lost between what was read and what it has: a dead letter for each, and where to go on from there."""
    lost, places, moves = list[Unread](), list[tuple[int, int]](), dict[int, tuple[int, int]]()
    for partition, (first, last) in sorted(seen.ends.items()):
        at = offsets[seen.source, partition]
        if first <= at <= last:
            continue
        where = f"{label(topic)}/{partition}"
        if at < first:
            message = f"{where}: the broker deleted offsets {at} to {first - 1} before they were read"
        else:
            message = f"{where}: it ends at offset {last}, and was read up to {at}: it is read again from {first}"
        content = {"topic": topic, "partition": partition, "read": at, "first": first, "next": last}
        lost.append(Unread(reason=Reason.Unreadable, message=message, content=content))
        places.append((partition, at))
        moves[partition] = (at, first)
    if not lost:
        return None
    return lost, Stretch(source=seen.source, label=label(topic), places=places, moves=moves)


def events_of(values: Sequence[bytes | None]) -> list[object]:
    """What records hold, in their order; what holds no JSON stands as `Unread`."""
    return list(_events(values))


def _events(values: Sequence[bytes | None]) -> Iterator[object]:
    loads = orjson.loads
    for value in values:
        try:
            yield loads(value)  # type: ignore[arg-type]  # None is refused below
        except orjson.JSONDecodeError as error:
            yield _unread(value, error)


def _unread(value: bytes | None, error: orjson.JSONDecodeError) -> Unread:
    if value is None:
        return Unread(reason=Reason.Unreadable, message="the record has no value", content="")
    message = f"the record is not JSON: line {error.lineno}, column {error.colno}"
    try:
        return Unread(reason=Reason.NotJSON, message=message, content=value.decode())
    except UnicodeDecodeError:
        return Unread(reason=Reason.NotJSON, message=message, content={"base64": b64encode(value).decode()})


def lag(seen: TopicSeen, offsets: Offsets, passed: Mapping[int, int]) -> int:
    """Events that are at the source and not committed. `passed` has offsets up to which a reader found no more events:
    a transaction's marker takes an offset and is none."""
    return sum(
        max(0, last - max(offsets.get((seen.source, partition), first), passed.get(partition, 0)))
        for partition, (first, last) in seen.ends.items()
    )


def trouble(source: KafkaSource, code: str, said: str) -> SourceTrouble:
    """What an error of the client means to a user. `code` is its name in librdkafka, `said` its words."""
    brokers, said = ", ".join(source.bootstrap_servers), CHANGING.sub("", said)
    if code in NO_TOPIC:
        return SourceTrouble(Reason.TopicNotFound, f'topic "{source.topic}" does not exist at {brokers}')
    if code in AUTHENTICATION:
        user = "" if source.sasl is None else f' user "{source.sasl.username}"'
        return SourceTrouble(Reason.SourceRefusesUs, f"Kafka at {brokers} refuses{user or ' us'}: {said}")
    if code in NO_PERMISSION:
        user = "we may not" if source.sasl is None else f'user "{source.sasl.username}" may not'
        return SourceTrouble(Reason.SourceRefusesUs, f'{user} read topic "{source.topic}" at {brokers}')
    if code == "_SSL":
        return SourceTrouble(Reason.SourceUnreachable, f"Kafka at {brokers}: TLS fails: {said}")
    return SourceTrouble(Reason.SourceUnreachable, f"Kafka at {brokers} does not answer: {said}")


def not_honoured(source: KafkaSource) -> dict[str, str]:
    """What of a Kafka source is not read by this release: path → the way out."""
    if source.format == "JSON":
        return {}
    return {"spec.source.kafka.format": f'"{source.format}" is not read yet: write events as JSON'}
