"""The real node's namespaces: network, mounts, processes, host name, IPC and cgroups of its own.

Everything of the cluster lives in one PID namespace: ending its first process ends all of it, containers too. This
machine's network namespace gets one veth and two routes, which go with it. Inside there is no default route: the
cluster can address only itself and this machine's end of the veth.
"""

from __future__ import annotations

import fcntl
import ipaddress
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness import node_init, sweeper
from harness.runs import Run
from pointsman_images.cache import Missing, cache_folder

NAME = "node-1"
_TOOLS = ("ip", "unshare", "nsenter", "setpriv", "mount", "umount")
_CGROUPS = Path("/sys/fs/cgroup")
_INTO_CGROUPS = 'while [ "$1" != -- ]; do echo $$ > "$1/cgroup.procs" || exit 1; shift; done; shift; exec "$@"'


@dataclass(frozen=True, kw_only=True)
class Network:
    """The addresses of one node; ten can run side by side."""

    number: int

    @property
    def link(self) -> str:
        """This machine's end of the veth."""
        return f"pointsman{self.number}"

    @property
    def host(self) -> str:
        """This machine's address on the veth: where the cluster reaches webhooks on it."""
        return f"10.20{self.number}.0.1"

    @property
    def node(self) -> str:
        """The node's address."""
        return f"10.20{self.number}.0.2"

    @property
    def pods(self) -> str:
        """The pods' CIDR."""
        return f"10.24{self.number}.0.0/24"

    @property
    def services(self) -> str:
        """The services' CIDR."""
        return f"10.9{self.number}.0.0/24"

    def service(self, last: int) -> str:
        """A cluster IP: 1 is the API server's, 10 DNS's."""
        return f"10.9{self.number}.0.{last}"


@dataclass(frozen=True, kw_only=True)
class Namespaces:
    """The node's namespaces while its first process lives."""

    init: int  # its process id, as this machine counts
    cgroups: tuple[Path, ...]
    network: Network
    path: str  # PATH inside

    def command(self, command: Sequence[str | Path]) -> list[str | Path]:
        """The command line that runs a command inside, in the node's cgroups too."""
        enter = ["nsenter", f"--target={self.init}", "-C", "-n", "-m", "-p", "-u", "-i", "--"]
        return ["sh", "-c", _INTO_CGROUPS, "sh", *self.cgroups, "--", *enter, "env", f"PATH={self.path}", *command]

    def run(self, command: Sequence[str | Path]) -> subprocess.CompletedProcess[str]:
        """Run a command inside to its end; the caller looks at how it ended."""
        return subprocess.run(self.command(command), capture_output=True, text=True, check=False)


def require() -> None:
    """Raise `Missing` with what this machine lacks for a real node."""
    if platform.system() != "Linux" or os.geteuid() != 0:
        raise Missing("a real node makes namespaces and cgroups, which needs Linux and root (sudo)")
    if not (_CGROUPS / "memory").is_dir():
        raise Missing("a real node is set up for cgroup v1 only (boot with systemd.unified_cgroup_hierarchy=0)")
    lacking = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if lacking:
        raise Missing(f"a real node needs {', '.join(lacking)}: apt-get install iproute2 util-linux mount")
    if "overlay" not in Path("/proc/filesystems").read_text():
        raise Missing("a real node needs overlayfs: modprobe overlay")


@contextmanager
def free_network() -> Iterator[Network]:
    """The first network that no other run holds and no route of this machine overlaps."""
    routes = json.loads(subprocess.run(["ip", "-j", "route"], check=True, capture_output=True, text=True).stdout)
    taken = [ipaddress.ip_network(route["dst"]) for route in routes if route["dst"] != "default"]
    folder = cache_folder() / "networks"
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(10):
        network = Network(number=number)
        ours = [ipaddress.ip_network(cidr) for cidr in (f"{network.node}/32", network.pods, network.services)]
        with (folder / f"{number}.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            if not any(one.overlaps(other) for one in ours for other in taken):
                yield network
                return
    raise Missing("all ten networks for test nodes (10.20N, 10.24N and 10.9N) are in use: look at `ip route`")


def start(run: Run, network: Network, pause: Path, path: str) -> Namespaces:
    """Make the namespaces with `pause` as their first process, and the veth into them."""
    cgroups = tuple(_cgroups(run))
    settings = run.path("etc", "node-init.json")
    ready = run.path("etc", "ready")
    prepared = {
        "name": NAME,
        "address": network.node,
        "dns": network.service(10),
        "state": str(run.path("state")),
        "files": str(run.path("etc")),
        "controllers": [path.name for path in _CGROUPS.iterdir() if _member(path.name) is not None],
        "ready": str(ready),
        "exec": str(pause),
    }
    settings.write_text(json.dumps(prepared))
    unshare = ["unshare", "--cgroup", "--net", "--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child"]
    program: list[str | Path] = [sys.executable, "-I", node_init.__file__, settings]
    outer = run.start(
        "node-init",
        ["sh", "-c", _INTO_CGROUPS, "sh", *cgroups, "--", *unshare, "--mount-proc", *program],
    )
    run.wait("the node's namespaces are there", ready.exists, of="node-init")
    init = int(Path(f"/proc/{outer}/task/{outer}/children").read_text().split()[0])
    _connect(run, network, init)
    return Namespaces(init=init, cgroups=cgroups, network=network, path=path)


def _connect(run: Run, network: Network, init: int) -> None:
    inside = ["nsenter", f"--target={init}", "-n"]
    run.record(sweeper.LINKS, network.link)
    link = ["ip", "link"]
    subprocess.run([*link, "delete", network.link], check=False, capture_output=True)  # of a run swept halfway
    commands: list[list[str]] = [
        [*link, "add", network.link, "type", "veth", "peer", "name", "eth0", "netns", str(init)],
        ["ip", "address", "add", f"{network.host}/30", "dev", network.link],
        [*link, "set", network.link, "up"],
        [*inside, "ip", "address", "add", f"{network.node}/30", "dev", "eth0"],
        [*inside, *link, "set", "eth0", "up"],
        ["ip", "route", "add", network.pods, "via", network.node],
        ["ip", "route", "add", network.services, "via", network.node],
        # the kernel looks a route up before kube-proxy rewrites the address of a packet sent from the node itself
        [*inside, "ip", "route", "add", network.services, "via", network.host],
    ]
    for command in commands:
        subprocess.run(command, check=True, capture_output=True)


def _member(controller: str) -> str | None:
    """This process's own cgroup of a controller, None where there is no such hierarchy."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, names, path = line.split(":", 2)
        if names.removeprefix("name=") == controller:
            return path
    return None


def _cgroups(run: Run) -> Iterator[Path]:
    """One cgroup per controller, each a child of the one this process is in, so that its limits hold."""
    for controller in sorted(path.name for path in _CGROUPS.iterdir()):
        member = _member(controller)
        if member is None:
            continue
        parent = _CGROUPS / controller / member.lstrip("/")
        made = parent / f"pointsman-{run.folder.name}"
        run.record(sweeper.CGROUPS, str(made))
        made.mkdir()
        if controller == "cpuset":  # a new one is empty, and takes no process so
            for name in ("cpuset.cpus", "cpuset.mems"):
                (made / name).write_text((parent / name).read_text())
        yield made


def environment_of(tools: Mapping[str, Path], libraries: Path, folder: Path) -> str:
    """PATH of the node: links to programs, and starters for Debian's tools, which are unpacked and not installed."""
    folder.mkdir()
    for name, program in tools.items():
        (folder / name).symlink_to(program)
    lib = libraries / "usr" / "lib" / "x86_64-linux-gnu"
    sbin = libraries / "usr" / "sbin"
    families = [f"{family}{action}" for family in ("iptables", "ip6tables") for action in ("", "-save", "-restore")]
    starters = {name: f"{sbin}/xtables-nft-multi {name}" for name in families}
    starters |= {name: f"{sbin}/{name}" for name in ("nft", "conntrack")}
    for name, command in starters.items():
        starter = folder / name
        words = f"LD_LIBRARY_PATH={lib} XTABLES_LIBDIR={lib}/xtables"
        starter.write_text(f'#!/bin/sh\nexport {words}\nexec {command} "$@"\n')
        starter.chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"
