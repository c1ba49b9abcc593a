"""Whether Triton can be installed on a machine. The local runtime says so in a status, Triton's environment before it is built."""

from __future__ import annotations

import platform
import sys

TRITON_PYTHONS = ((3, 11), (3, 12))
"""Those for which there are wheels of NumPy below 2."""


def why_not_triton(
    system: str = sys.platform, machine: str = platform.machine(), python: tuple[int, ...] = sys.version_info[:2]
) -> str | None:
    """Why Triton cannot be installed on such a machine; None where it can."""
    if system != "linux" or machine not in ("x86_64", "AMD64"):
        return f"Triton's wheel is for Linux on x86-64, this is {system} on {machine}"
    if python not in TRITON_PYTHONS:
        return f"Triton's wheel needs NumPy below 2, so Python 3.11 or 3.12, this is {'.'.join(map(str, python))}"
    return None
