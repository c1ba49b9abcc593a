"""Pointsman: self-hosted model serving that ends in decisions people can trust."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from pointsman.library import GraphLibrary

__version__ = "0.1.0"


def load(folder: str | Path, graph: str | None = None) -> GraphLibrary:
    """The decision graph of a folder of documents, in this process: no services, nothing written.

    `graph` names one where the folder holds several. Raises pointsman.library.CannotLoad, which says what to do.
    """
    from pointsman.library import load as load_library

    return load_library(folder, graph)
