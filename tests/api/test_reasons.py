"""The catalogue of reasons."""

from __future__ import annotations

import re

import pytest

from pointsman.api.reasons import Reason


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
