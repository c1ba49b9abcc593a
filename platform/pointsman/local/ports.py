"""Free ports on loopback, remembered by name so that an address stays the same over restarts."""

from __future__ import annotations

import socket
from pathlib import Path

import orjson

from pointsman.local.home import Home


class Ports:
    """The ports of one home."""

    def __init__(self, home: Home) -> None:
        self._file = home.root / "ports.json"
        self._ports: dict[str, int] = orjson.loads(self._file.read_bytes()) if self._file.exists() else {}

    def of(self, name: str) -> int:
        """The port remembered for a name, or a free one, remembered from now on."""
        if name not in self._ports:
            self._ports[name] = self._free()
            self._write()
        return self._ports[name]

    def choose_again(self, name: str) -> int:
        """Another port for a name whose old one somebody else has taken."""
        self._ports.pop(name, None)
        return self.of(name)

    def free_again(self) -> None:
        """Forget the ports that somebody else listens on. Call it while nothing of ours runs."""
        self._ports = {name: port for name, port in self._ports.items() if is_free(port)}
        self._write()

    def _free(self) -> int:
        taken = set(self._ports.values())
        while True:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                port = int(probe.getsockname()[1])
            if port not in taken:
                return port

    def _write(self) -> None:
        fresh = Path(f"{self._file}.new")
        fresh.write_bytes(orjson.dumps(self._ports, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS))
        fresh.replace(self._file)


def is_free(port: int) -> bool:
    """Whether nothing listens on a loopback port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
