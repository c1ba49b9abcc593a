"""Which secrets a document points at: of a target's authentication, or of a stream's source."""

from __future__ import annotations

from pointsman.api.meta import Block


def secret_keys(block: Block) -> list[tuple[str, str]]:
    """Every (secret, key) below a block, each once, in the order of the document."""
    found = dict[tuple[str, str], None]()

    def walk(value: object) -> None:
        if not isinstance(value, dict):
            return
        reference = value.get("secretKeyRef")
        if isinstance(reference, dict):
            found[reference["name"], reference["key"]] = None
        for each in value.values():
            walk(each)

    walk(block.model_dump(mode="json", by_alias=True, exclude_none=True))
    return list(found)
