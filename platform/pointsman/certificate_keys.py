"""Which keys may sign certificates: said by the store's owner, and by nobody else. `python -m pointsman.certificate_keys`.

Commands call it where they reach the store as its owner; on a cluster they have a Job run it, which finds the owner's URL in
its environment.
"""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime

import psycopg

from pointsman.certificate_files import CannotRead, read_public_key
from pointsman.decisions.certificate_store import CertificateRefused, add_key, revoke_key
from pointsman.store.database import OWNER_URL, StoreUrlRefused, connect, store_url

Connection = psycopg.Connection[psycopg.rows.TupleRow]

USAGE = "python -m pointsman.certificate_keys trust PUBLIC-KEY | revoke KEY"


def trust(owner: Connection, key: str) -> str:
    """Let a public key sign, given as a file or as text; its name. Raises CannotRead, CertificateRefused."""
    return add_key(owner, read_public_key(key), datetime.now(UTC))


def revoke(owner: Connection, name: str) -> str:
    """Let a key sign no more; its name. Raises CertificateRefused where none of that name may sign."""
    if not revoke_key(owner, name, datetime.now(UTC)):
        raise CertificateRefused(f'no key "{name}" may sign')
    return name


CHANGES = {"trust": trust, "revoke": revoke}


def main() -> int:
    """0 changed, 1 refused, 2 wrong usage; one line says what."""
    if len(sys.argv) != 3 or sys.argv[1] not in CHANGES:
        sys.stderr.write(f"usage: {USAGE}\n")
        return 2
    try:
        with connect(store_url(os.environ, OWNER_URL)) as owner:
            sys.stdout.write(f"{CHANGES[sys.argv[1]](owner, sys.argv[2])}\n")
    except (CannotRead, CertificateRefused, StoreUrlRefused) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except psycopg.OperationalError as error:
        sys.stderr.write(f"the decision store does not answer: {' '.join(str(error).split())}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
