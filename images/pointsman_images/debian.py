"""Debian packages, unpacked into the cache and not installed: what the real node and its images take from Debian."""

from __future__ import annotations

import platform
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from pointsman_images.cache import Missing, Say, cache_folder, key, locked

RELEASE = ("debian", "12")

NODE_TOOLS = (  # what kube-proxy and the CNI plugins run, with the libraries they are linked to
    *("iptables", "nftables", "conntrack", "libnftnl11", "libnetfilter-conntrack3", "libnfnetlink0", "libip4tc2"),
    *(
        "libip6tc2",
        "libxtables12",
        "libnftables1",
        "libedit2",
        "libjansson4",
        "libmnl0",
        "libbsd0",
        "libmd0",
        "libgmp10",
    ),
)
LIBSECCOMP = ("libseccomp-dev",)  # with the static library that runc is linked to
PYTHON_IMAGE = (
    *("python3.11-minimal", "libpython3.11-minimal", "libpython3.11-stdlib", "libc6", "libexpat1", "zlib1g", "libssl3"),
    *("base-files", "busybox", "media-types", "netbase", "libffi8", "libbz2-1.0", "liblzma5", "libuuid1", "libgcc-s1"),
    *("libstdc++6", "libgomp1", "libcrypt1", "libsqlite3-0", "bash", "libtinfo6"),
)


def unpacked(packages: Sequence[str], say: Say) -> Path:
    """A folder with the content of these packages, downloaded by apt the first time."""
    _require_release()
    folder = cache_folder() / f"debian-{key(*RELEASE, *sorted(packages))}"
    done = folder / "content"
    with locked(folder):
        if not done.exists():
            say(f"downloading {len(packages)} Debian packages, once: {packages[0]} …")
            downloads, fresh = folder / "downloads", folder / "content.part"
            for again in (downloads, fresh):
                shutil.rmtree(again, ignore_errors=True)
                again.mkdir()
            downloads.chmod(0o755)
            got = subprocess.run(
                ["apt-get", "download", *packages], cwd=downloads, capture_output=True, text=True, check=False
            )
            if got.returncode:
                raise Missing(f"apt-get download failed (apt-get update first?): {got.stderr.strip()[-300:]}")
            _merge_usr(fresh)
            for package in sorted(downloads.glob("*.deb")):
                _unpack(package, fresh)
            shutil.rmtree(downloads)
            fresh.rename(done)
    return done


def _require_release() -> None:
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        release = {}
    machine = platform.machine()
    if (release.get("ID"), release.get("VERSION_ID"), machine) != (*RELEASE, "x86_64"):
        name = release.get("PRETTY_NAME", platform.platform())
        raise Missing(
            f"the real node's tools and images are made of Debian 12's packages for amd64; this is {name}, {machine}"
        )


def _merge_usr(root: Path) -> None:
    """As on Debian itself, /bin and /lib are links into /usr: packages put the same library under either name."""
    for name in ("bin", "sbin", "lib", "lib64"):
        (root / "usr" / name).mkdir(parents=True)
        (root / name).symlink_to(f"usr/{name}")


def _unpack(package: Path, root: Path) -> None:
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE) as content:
        subprocess.run(
            ["tar", "-x", "-C", root, "--keep-directory-symlink", "--no-same-owner"], stdin=content.stdout, check=True
        )
    if content.returncode:
        raise RuntimeError(f"dpkg-deb cannot read {package}")
