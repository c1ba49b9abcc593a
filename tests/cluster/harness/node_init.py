"""The first program in the real node's namespaces: mounts what a node has of its own, then becomes `pause`.

Run by `node.py`, with a JSON file of settings; standard library alone. What fails is in the log `node-init`.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

# What a kubelet wants to set is the whole machine's: it is shown files of ours, and the kernel keeps its own values.
SHOWN = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}
CGROUPS = Path("/sys/fs/cgroup")
CPUS = 8
"""So many the node says it has: two replicas of all that is installed ask for more than a small machine's, and use little"""


def mount(*arguments: str | Path) -> None:
    """Mount, or end with mount's own message in the log."""
    subprocess.run(["mount", *map(str, arguments)], check=True)


def show_cpus() -> None:
    """Let the kubelet count CPUS; those that are online, and what pods see, are the machine's own."""
    system = Path("/sys/devices/system")
    online = (system / "cpu" / "online").read_text()
    for name in ("node", "cpu"):
        mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", system / name)
    (system / "cpu" / "online").write_text(online)
    for number in range(CPUS):
        topology = system / "cpu" / f"cpu{number}" / "topology"
        topology.mkdir(parents=True)
        (topology / "core_id").write_text(f"{number}\n")
        (topology / "physical_package_id").write_text("0\n")


def main(settings_file: str) -> None:
    """Set the node up and become its init."""
    settings = json.loads(Path(settings_file).read_text())
    files, state = Path(settings["files"]), Path(settings["state"])
    socket.sethostname(settings["name"])
    subprocess.run(["umount", "-R", CGROUPS], check=False, stderr=subprocess.DEVNULL)
    mount("-t", "sysfs", "sysfs", "/sys")
    show_cpus()
    mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", CGROUPS)
    for controller in settings["controllers"]:
        (CGROUPS / controller).mkdir()
        option = "none,name=systemd" if controller == "systemd" else controller
        mount("-t", "cgroup", "-o", option, "cgroup", CGROUPS / controller)
    mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")
    for name in ("lib", "log"):
        (state / name).mkdir()
        mount("--bind", state / name, Path("/var") / name)
    for name, value in SHOWN.items():
        shown = files / name.replace("/", "_")
        shown.write_text(f"{value}\n")
        mount("--bind", shown, Path("/proc/sys") / name)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for name in ("net/ipv4/ip_forward", "net/bridge/bridge-nf-call-iptables"):  # of this network namespace alone
        (Path("/proc/sys") / name).write_text("1\n")
    (files / "resolv.conf").write_text(f"nameserver {settings['dns']}\n")
    (files / "hosts").write_text(f"127.0.0.1 localhost\n{settings['address']} {settings['name']}\n")
    for name in ("resolv.conf", "hosts"):
        mount("--bind", files / name, Path("/etc") / name)
    mount("--make-rshared", "/")
    Path(settings["ready"]).touch()
    os.execv(settings["exec"], [settings["exec"]])


if __name__ == "__main__":
    main(sys.argv[1])
