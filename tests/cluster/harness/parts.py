"""The programs the test clusters run: built once from pinned Go modules, kept in the user's cache folder.

One small Go module per part stands in `gomods/` (the parts' `replace` lines disagree, so they cannot share one).
A program's folder is keyed by its module's files, its flags and the Go version, so that a change of any of them
builds anew beside what is there; a lock file lets two runs build once. The simulated and the real world ask here.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from pointsman_images.cache import Missing, Say, cache_folder, key, locked

GOMODS = Path(__file__).parent / "gomods"


@dataclass(frozen=True, kw_only=True)
class Program:
    """One program: the module it is pinned by, its package, and about how long it builds with two cores."""

    name: str
    module: str
    package: str
    seconds: int
    ldflags: str = ""
    tags: str = ""
    cgo: Mapping[str, str] = field(default_factory=dict)  # what a build with C needs in its environment


KUBERNETES = "v1.34.4"
_VERSION = "k8s.io/component-base/version.git"
_K8S_FLAGS = f"-X {_VERSION}Version={KUBERNETES} -X {_VERSION}Major=1 -X {_VERSION}Minor=34"  # else it says v0.0.0
_HELM = "helm.sh/helm/v3"
_HELM_FLAGS = " ".join(  # the version it renders for where it asks no cluster; else v1.20
    f"-X {_HELM}/pkg/{package}.k8sVersionMajor=1 -X {_HELM}/pkg/{package}.k8sVersionMinor=34"
    for package in ("chartutil", "lint/rules")
)
_CONTAINERD = "github.com/containerd/containerd/v2/cmd"
_CNI = "github.com/containernetworking/plugins/plugins"


def _kubernetes(name: str, seconds: int) -> Program:
    return Program(
        name=name, module="k8s", package=f"k8s.io/kubernetes/cmd/{name}", seconds=seconds, ldflags=_K8S_FLAGS
    )


def _containerd(name: str, seconds: int) -> Program:
    tags = "no_btrfs no_zfs no_aufs no_devmapper"
    return Program(name=name, module="containerd", package=f"{_CONTAINERD}/{name}", seconds=seconds, tags=tags)


CONTROL_PLANE = (
    Program(name="etcd", module="etcd", package="go.etcd.io/etcd/server/v3", seconds=25),
    _kubernetes("kube-apiserver", 240),
    _kubernetes("kube-controller-manager", 60),
    _kubernetes("kube-scheduler", 10),
    _kubernetes("kubectl", 45),
)
KSERVE = Program(name="kserve-manager", module="kserve", package="github.com/kserve/kserve/cmd/manager", seconds=135)
KUBERAY = Program(
    name="kuberay-operator", module="kuberay", package="github.com/ray-project/kuberay/ray-operator", seconds=95
)
KWOK = Program(name="kwok", module="kwok", package="sigs.k8s.io/kwok/cmd/kwok", seconds=75)
HELM = Program(name="helm", module="helm", package=f"{_HELM}/cmd/helm", seconds=65, ldflags=_HELM_FLAGS)
PAUSE = Program(name="pause", module="pause", package=".", seconds=2)
COREDNS = Program(name="coredns", module="coredns", package=".", seconds=30)
S3 = Program(name="versitygw", module="s3", package="github.com/versity/versitygw/cmd/versitygw", seconds=60)
GCS = Program(name="fake-gcs-server", module="gcs", package="github.com/fsouza/fake-gcs-server", seconds=50)
CNI = (
    Program(name="bridge", module="cni", package=f"{_CNI}/main/bridge", seconds=5),
    Program(name="loopback", module="cni", package=f"{_CNI}/main/loopback", seconds=2),
    Program(name="host-local", module="cni", package=f"{_CNI}/ipam/host-local", seconds=2),
    Program(name="portmap", module="cni", package=f"{_CNI}/meta/portmap", seconds=2),
)
NODE = (
    _kubernetes("kubelet", 55),
    _kubernetes("kube-proxy", 20),
    _containerd("containerd", 45),
    _containerd("containerd-shim-runc-v2", 5),
    _containerd("ctr", 5),
)
SIMULATED = (*CONTROL_PLANE, KWOK, KSERVE, KUBERAY)
REAL = (*CONTROL_PLANE, *NODE, *CNI, PAUSE, COREDNS, KSERVE, KUBERAY)  # and runc, which links a C library


def runc(libseccomp: Path) -> Program:
    """runc, linked to the libseccomp that is unpacked in this folder: pods have seccomp profiles."""
    libraries = libseccomp / "usr" / "lib" / "x86_64-linux-gnu"
    cgo = {
        "CGO_ENABLED": "1",
        "PKG_CONFIG_SYSROOT_DIR": str(libseccomp),
        "PKG_CONFIG_PATH": str(libraries / "pkgconfig"),
        "CGO_CFLAGS": f"-I{libseccomp / 'usr' / 'include'}",
        "CGO_LDFLAGS": f"-L{libraries}",
    }
    return Program(
        name="runc",
        module="runc",
        package="github.com/opencontainers/runc",
        seconds=10,
        ldflags="-linkmode external -extldflags -static",
        tags="seccomp netgo osusergo",
        cgo=cgo,
    )


@cache
def go_version() -> str:
    """The Go toolchain's version; raises `Missing` where there is none."""
    try:
        return subprocess.run(["go", "env", "GOVERSION"], check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError) as error:
        raise Missing("Go 1.26 builds Kubernetes from its source, and `go` is not on PATH: see go.dev/dl") from error


def module_key(module: str, *more: str) -> str:
    """The key of what comes out of one Go module: its own files, the Go version, and what else decides it."""
    files = sorted(path for path in (GOMODS / module).iterdir() if path.suffix in (".mod", ".sum", ".go"))
    return key(go_version(), *(path.read_bytes() for path in files), *more)


def go(*arguments: str, module: str, environment: Mapping[str, str] | None = None) -> str:
    """Run `go` in one of the modules, which it never edits; a failure raises with the end of what it said."""
    flags = {"GOFLAGS": "-buildvcs=false -trimpath -mod=readonly", "CGO_ENABLED": "0", "GOWORK": "off"}
    command = ["go", *arguments]
    ran = subprocess.run(
        command,
        cwd=GOMODS / module,
        env={**os.environ, **flags, **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode:
        raise RuntimeError(f"{' '.join(command)}: {module}: ends with {ran.returncode}:\n{ran.stderr[-3000:]}")
    return ran.stdout.strip()


def path_of(program: Program) -> Path:
    """Where the program lies in the cache once it is built."""
    recipe = (program.package, program.ldflags, program.tags, *sorted(program.cgo))  # its paths decide nothing
    return cache_folder() / f"{program.name}-{module_key(program.module, *recipe)}" / program.name


def build(program: Program, say: Say) -> Path:
    """The program's path; built first where it is not in the cache, with a line before and one after."""
    path = path_of(program)
    folder = path.parent
    if path.exists():
        return path
    with locked(folder):
        if path.exists():  # another run built it while this one waited for the lock
            return path
        say(f"building {program.name}: once, about {program.seconds} s with two cores")
        started = time.monotonic()
        fresh = folder / f"{program.name}.part"
        linking = f"-s -w {program.ldflags}".strip()
        arguments = ("build", "-tags", program.tags, "-ldflags", linking, "-o", str(fresh), program.package)
        go(*arguments, module=program.module, environment=program.cgo)
        fresh.rename(path)
        say(f"built {program.name} in {time.monotonic() - started:.0f} s")
    return path


def programs(wanted: Sequence[Program], say: Say) -> Mapping[str, Path]:
    """Each program's path by its name; apiserver, etcd and kubectl from `KUBEBUILDER_ASSETS` where that is set."""
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    found = {}
    for program in wanted:
        given = Path(assets) / program.name if assets else None
        found[program.name] = given if given and given.exists() else build(program, say)
    return found
