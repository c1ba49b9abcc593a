"""What an address holds into a folder, as KServe's own storage initialiser does it: `python download.py ADDRESS FOLDER`.

Runs in the environment of KServe's clients, where nothing of ours can be imported. The credentials are in environment variables:
KServe sets them by the Secrets of the pod's ServiceAccount. After a failure the last line says why.
"""

from __future__ import annotations

import sys
import tarfile
from pathlib import PurePosixPath
from typing import Any

from kserve_storage import Storage

EXTRACT = tarfile.TarFile.extractall


def extract_plain(archive: tarfile.TarFile, path: str = ".", **_: Any) -> None:
    """Unpack an archive of folders and files that stay below the path; any other is refused, with its name."""
    for member in archive.getmembers():
        name = PurePosixPath(member.name)
        if not (member.isfile() or member.isdir()) or name.is_absolute() or ".." in name.parts:
            raise ValueError(f'the archive has "{member.name}", which is no plain file below its top: pack plain files')
    EXTRACT(archive, path)


def main() -> int:
    """1 where it fails."""
    address, folder = sys.argv[1:]
    setattr(tarfile.TarFile, "extractall", extract_plain)  # noqa: B010  KServe's asks for a filter, which Python 3.11.2 has not
    try:
        Storage.download_files([address], [folder])
    except Exception as error:  # noqa: BLE001  the clients' errors have no common base; each is told in one line
        print(" ".join(str(error).split()) or type(error).__name__, file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
