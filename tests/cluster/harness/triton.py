"""An image with the real Triton that the wheel `nvidia-pytriton` carries, laid out as NVIDIA's own image is.

NVIDIA's image cannot be had without a registry. This one has an older tritonserver without its backend for ONNX, for which
`triton_onnxruntime.py` stands in. `spec.runtime.triton.image` names it.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import yaml

from harness.operator import MANIFESTS
from pointsman_images import archive, debian
from pointsman_images.build import PACKAGES, PYTHON, base, wheels
from pointsman_images.cache import Say
from pointsman_images.python import USER
from pointsman_serving.triton.environment import ENVIRONMENT

IMAGE = "localhost/triton:1"
NVIDIA = str(
    yaml.safe_load((MANIFESTS / "runtimes" / "pointsman-triton.yaml").read_text())["spec"]["containers"][0]["image"]
)
"""What a ModelDeployment of type Triton runs in that names no image"""
BACKEND = Path(__file__).with_name("triton_onnxruntime.py")
_SERVER = f"{PACKAGES}/pytriton/tritonserver"
_LIBRARIES = (f"/{PACKAGES}/nvidia_pytriton.libs", "/usr/lib/x86_64-linux-gnu")
_BASE = (*debian.PYTHON_IMAGE, f"libpython{PYTHON}")  # which Triton's Python backend is linked to


def build(folder: Path, say: Say, name: str = IMAGE) -> Path:
    """The image's archive in this folder, under this name. Raises Missing."""
    installed = wheels(ENVIRONMENT.lock, say)
    layout = folder / "triton"
    _lay_out(layout, installed / _SERVER)
    tar = folder / "triton.tar"
    image = archive.Image(
        name=name,
        layers=[base(_BASE, say), installed, layout],
        command=["tritonserver"],
        environment={"LD_LIBRARY_PATH": ":".join(_LIBRARIES)},
        user=f"{USER}:{USER}",
    )
    archive.write(tar, image)
    shutil.rmtree(layout)
    return tar


def _lay_out(root: Path, server: Path) -> None:
    """The program on PATH, and the backends in the folder where Triton looks, which no link may leave."""
    programs, backends = root / "usr" / "bin", root / "opt" / "tritonserver" / "backends"
    programs.mkdir(parents=True)
    (programs / "tritonserver").symlink_to(Path("/", _SERVER, "bin", "tritonserver"))
    shutil.copytree(server / "backends" / "python", backends / "python")
    shutil.copy(server / "python_backend_stubs" / PYTHON / "triton_python_backend_stub", backends / "python")
    (backends / "onnxruntime").mkdir()
    shutil.copy(BACKEND, backends / "onnxruntime" / "model.py")
    found = root / "usr" / "local" / "lib" / f"python{PYTHON}" / "dist-packages"
    found.mkdir(parents=True)
    (found / "packages.pth").write_text(f"/{PACKAGES}\n")  # the Python inside Triton does not read PYTHONPATH
