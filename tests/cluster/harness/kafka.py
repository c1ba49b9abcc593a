"""A real Kafka broker of one node, from Maven's jars: fetched once, kept in the user's cache folder, up in four seconds.

    with broker(folder, say) as kafka:
        kafka.create("transactions", partitions=3)
        kafka.produce("transactions", [("key", b"{}")])

It listens in the clear, and with TLS and SCRAM for one user. It can be killed and started again on the data it has.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from confluent_kafka import KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic
from cryptography.hazmat.primitives import serialization

from harness.certificates import Authority, Certificate
from harness.waiting import wait_for
from pointsman_images.cache import Missing, Say, cache_folder, key, locked

VERSION = "4.1.0"
POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>dev.pointsman</groupId><artifactId>broker</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{VERSION}</version></dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version></dependency>
  </dependencies>
</project>
"""
JAVA = ("-Xmx256m", "-XX:TieredStopAtLevel=1", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn")
UP_SECONDS = 60


def jars(say: Say) -> Path:
    """The folder with Kafka's jars. Raises `Missing` where there is no Java or Maven."""
    for program, package in (("java", "default-jre-headless"), ("mvn", "maven")):
        if shutil.which(program) is None:
            raise Missing(f"Kafka needs `{program}` on PATH: on Debian or Ubuntu, apt-get install {package}")
    folder = cache_folder() / f"kafka-{key(POM)}"
    found = folder / "lib"
    if found.exists():
        return found
    with locked(folder):
        if found.exists():
            return found
        say("fetching Kafka's jars: once, 45 MB")
        (folder / "pom.xml").write_text(POM)
        fresh = folder / "lib.part"
        command = ["mvn", "--quiet", "--batch-mode", "dependency:copy-dependencies", f"-DoutputDirectory={fresh}"]
        ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if ran.returncode:
            raise Missing(f"Maven cannot fetch Kafka {VERSION}:\n{ran.stdout[-2000:]}")
        fresh.rename(found)
    return found


class Broker:
    """One broker and its data. `user` and `password` are for the secure listener, `authority` is whom it is vouched by."""

    user, password = "pointsman", "a-password-of-the-tests"

    def __init__(self, folder: Path, jars: Path, host: str) -> None:
        self._folder, self._jars = folder, jars
        self.address, self.secure, self._controller = (f"{host}:{port}" for port in _free_ports(3, host))
        authority = Authority(folder / "pki")
        self.authority = authority.files.certificate
        self._settings = folder / "broker.properties"
        self._settings.write_text(self._properties(_keystore(authority.server("broker", [host]))))
        self._process: subprocess.Popen[bytes] | None = None
        self._admin: Any = AdminClient({"bootstrap.servers": self.address, "log_level": 2})
        scram = f"SCRAM-SHA-512=[name={self.user},password={self.password}]"
        self._java(
            "kafka.tools.StorageTool", "format", "-t", "MkU3OEVBNTcwNTJENDM2Qk", "--add-scram", scram, "-c"
        ).wait(60)

    def start(self) -> None:
        """Start it, on the data that it has, and wait until it answers."""
        self._process = self._java("kafka.Kafka")
        wait_for("Kafka answers", self._answers, seconds=UP_SECONDS)

    def kill(self) -> None:
        """End it as a crash does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def create(self, topic: str, partitions: int = 1) -> None:
        """Make a topic."""
        made = self._admin.create_topics([NewTopic(topic, num_partitions=partitions, replication_factor=1)])
        made[topic].result(30)

    def grow(self, topic: str, partitions: int) -> None:
        """Give a topic more partitions."""
        self._admin.create_partitions([NewPartitions(topic, partitions)])[topic].result(30)

    def delete(self, topic: str) -> None:
        """Remove a topic with all it holds."""
        self._admin.delete_topics([topic])[topic].result(30)
        wait_for("the topic is gone", lambda: topic not in self._admin.list_topics(timeout=10).topics)

    def forget(self, topic: str, partition: int, before: int) -> None:
        """Delete the records before an offset, as retention does."""
        asked = TopicPartition(topic, partition, before)
        self._admin.delete_records([asked])[asked].result(30)

    def produce(self, topic: str, records: Iterable[tuple[str | None, bytes | None]], partition: int = -1) -> None:
        """Write records (key, value), in order; the key chooses the partition where none is named."""
        producer = Producer({"bootstrap.servers": self.address, "enable.idempotence": True, "log_level": 2})
        for key_, value in records:
            while True:
                try:
                    producer.produce(topic, value, key=key_, partition=partition)
                    break
                except BufferError:
                    producer.poll(0.1)
        assert producer.flush(60) == 0, "not everything was written"

    def log(self) -> str:
        """The end of its log."""
        return (self._folder / "log").read_text(errors="replace")[-3000:]

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log()
        try:
            return bool(self._admin.list_topics(timeout=2).brokers)
        except KafkaException:
            return False

    def _java(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        command = ["java", *JAVA, "-cp", f"{self._jars}/*", program, *arguments, str(self._settings)]
        with (self._folder / "log").open("ab") as output:
            return subprocess.Popen(command, stdout=output, stderr=output, env={"PATH": os.environ["PATH"]})

    def _properties(self, keystore: Path) -> str:
        scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        settings = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@{self._controller}",
            "listeners": f"PLAINTEXT://{self.address},SECURE://{self.secure},CONTROLLER://{self._controller}",
            "advertised.listeners": f"PLAINTEXT://{self.address},SECURE://{self.secure}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,SECURE:SASL_SSL,CONTROLLER:PLAINTEXT",
            "controller.listener.names": "CONTROLLER",
            "sasl.enabled.mechanisms": "SCRAM-SHA-512",
            "listener.name.secure.scram-sha-512.sasl.jaas.config": scram,
            "listener.name.secure.ssl.keystore.type": "PEM",
            "listener.name.secure.ssl.keystore.location": str(keystore),
            "log.dirs": str(self._folder / "data"),
            "offsets.topic.replication.factor": "1",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "auto.create.topics.enable": "false",
        }
        return "".join(f"{name}={value}\n" for name, value in settings.items())


@contextmanager
def broker(folder: Path, say: Say, host: str = "localhost") -> Iterator[Broker]:
    """A running broker, reached at this name or address of this machine. Raises `Missing` where it cannot run one."""
    kafka = Broker(folder, jars(say), host)
    try:
        kafka.start()
        yield kafka
    finally:
        kafka.kill()


def topic() -> str:
    """A name that no topic has yet."""
    return f"events-{uuid4().hex[:8]}"


def _keystore(certificate: Certificate) -> Path:
    """One PEM file as Kafka reads it: the key in PKCS #8, then the chain."""
    loaded = serialization.load_pem_private_key(certificate.key.read_bytes(), None)
    pem = loaded.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = certificate.key.with_suffix(".keystore.pem")
    path.touch(mode=0o600)
    path.write_bytes(pem + certificate.certificate.read_bytes() + certificate.authority.read_bytes())
    return path


def _free_ports(count: int, host: str) -> list[int]:
    """Ports that were free a moment ago, all different."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind((host, 0))
        return [int(each.getsockname()[1]) for each in sockets]
    finally:
        for each in sockets:
            each.close()
