"""The catalogue of reasons."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from pointsman.api import reasons_page
from pointsman.api.next_steps import NEXT_STEPS
from pointsman.api.reasons import Reason, groups

ROOT = Path(__file__).parents[2]
OF_CONDITIONS = [
    *(ROOT / "platform" / "pointsman").glob("*/plan.py"),
    *(ROOT / "platform" / "pointsman" / "api").glob("conditions.py"),
    *(ROOT / "platform" / "pointsman").glob("planning.py"),
    *(ROOT / "platform" / "pointsman" / "local").glob("*.py"),
    *(ROOT / "operators").rglob("*.py"),
]
"""The modules whose reasons become those of conditions"""


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_says_in_one_sentence_what_is_the_case(reason: Reason) -> None:
    assert reason.description.endswith(".")
    assert reason.description[0].isupper()
    assert len(reason.description) > 20
    assert ". " not in reason.description


@pytest.mark.parametrize("reason", list(Reason))
def test_a_reason_is_named_as_it_is_written_in_camel_case(reason: Reason) -> None:
    assert reason.name == reason.value == str(reason)
    assert re.fullmatch(r"[A-Z][A-Za-z0-9]{1,127}", reason)


def test_no_two_reasons_say_the_same() -> None:
    assert len({reason.description for reason in Reason}) == len(Reason.__members__)


def test_a_written_reason_is_read_back_with_its_description() -> None:
    assert Reason("StaleFeature") is Reason.StaleFeature
    assert Reason("StaleFeature").description == Reason.StaleFeature.description


def test_the_catalogue_is_closed() -> None:
    with pytest.raises(ValueError, match="SomethingElse"):
        Reason("SomethingElse")


def named(module: Path) -> Iterator[str]:
    """The reasons that a module names."""
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "Reason":
            yield node.attr


def test_every_reason_of_a_condition_has_a_next_step() -> None:
    used = {reason for module in OF_CONDITIONS for reason in named(module)}
    assert len(used) > 50
    assert [reason for reason in sorted(used) if not Reason(reason).next_step] == []


@pytest.mark.parametrize(
    "title", [title for title in groups() if title not in ("Decisions and reviews", "Dead letters", "Effects")]
)
def test_every_reason_of_an_object_has_a_next_step(title: str) -> None:
    assert [reason for reason in groups()[title] if not reason.next_step] == []


@pytest.mark.parametrize("name", list(NEXT_STEPS))
def test_a_next_step_is_one_sentence_for_a_reason_that_there_is(name: str) -> None:
    step = Reason(name).next_step
    assert step[0].isupper()
    assert step.endswith(".")
    assert ". " not in step


def test_every_reason_stands_in_one_group() -> None:
    assert [reason for group in groups().values() for reason in group] == list(Reason)


def test_the_page_tells_every_reason_with_its_meaning_and_next_step() -> None:
    page = (ROOT / "docs" / "reasons.md").read_text()
    assert page == reasons_page.page()
    for reason in Reason:
        assert f"| `{reason}` | {reason.description} |" in page
        assert reason.next_step in page


def test_a_page_of_another_catalogue_is_noticed(tmp_path: Path) -> None:
    page = tmp_path / "reasons.md"
    assert reasons_page.main(["--check", "--file", str(page)]) == 1
    assert reasons_page.main(["--file", str(page)]) == 0
    assert reasons_page.main(["--check", "--file", str(page)]) == 0
    page.write_text(page.read_text().replace("Crashing", "Chrashing"))
    assert reasons_page.main(["--check", "--file", str(page)]) == 1
