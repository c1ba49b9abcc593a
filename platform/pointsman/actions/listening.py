"""Looks whether a target listens: a connection is made and nothing is sent, so nothing is logged or counted there."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from pointsman.actions.addresses import Address, AddressRefused, NameNotResolved, resolve

PATIENCE_SECONDS = 3.0
SILENT_SECONDS, LISTENING_SECONDS = 1.0, 5.0
"""Between two looks at a target that did not listen, and at one that did."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """What one look brought: the address behind the URL, None where there is none, and why nobody listens there.

    `name_is_unknown` where nothing has the name.
    """

    address: Address | None = None
    cause: str = ""
    name_is_unknown: bool = False

    @property
    def listens(self) -> bool:
        return not self.cause

    @property
    def again_in_seconds(self) -> float:
        """When to look the next time."""
        return LISTENING_SECONDS if self.listens else SILENT_SECONDS


async def look(url: str) -> Look:
    """Look the name up anew, check what comes out and connect to it."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            address = await asyncio.to_thread(resolve, url)
    except NameNotResolved as error:
        return Look(cause=str(error), name_is_unknown=error.name_is_unknown)
    except AddressRefused as error:
        return Look(cause=str(error))
    except TimeoutError:
        return Look(cause=f'target: no name server answers within {PATIENCE_SECONDS:.0f} s: "{url}"')
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            _, writer = await asyncio.open_connection(address.ip, address.port)
        writer.close()
    except TimeoutError:
        return Look(address=address, cause=f"no connection within {PATIENCE_SECONDS:.0f} s")
    except ConnectionRefusedError:
        return Look(address=address, cause="connection refused")
    except OSError as error:
        return Look(address=address, cause=(error.strerror or type(error).__name__).lower())
    return Look(address=address)
