"""What the report says besides the comparison: certificates, and the drift. Pure.

Called by the terminal's report and by the written one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pointsman.demo.certified import Measured
from pointsman.demo.drifting import Drifted
from pointsman.demo.hand_set import HandSet
from pointsman.demo.wave import SHARE


@dataclass(frozen=True, kw_only=True)
class Section:
    """A title, a table if there are columns, and sentences."""

    title: str
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    sentences: tuple[str, ...]


def certificates(bands: Sequence[Measured]) -> Section:
    """What each band promises, what is certified of it, and what the next promise takes."""
    return Section(
        title="What the bands promise, and what is certified",
        columns=("band", "promised", "labelled", "wrong", "at most", "certified"),
        rows=tuple(
            (
                each.band,
                f"{each.promise:.2%} at {each.confidence:.0%}",
                f"{each.labelled:,}",
                f"{each.wrong:,}",
                f"{each.bound:.3%}",
                "yes" if each.certified else "no: its items go to people",
            )
            for each in bands
        ),
        sentences=(
            "Certified on generated history that the models have not learned from, the half of it that is left to test on; "
            "nothing of the stream is in it.",
            *(
                f"{'next for' if each.certified else 'needed for'} {each.band}, {each.next_promise:.2%}: {each.needed}."
                for each in bands
            ),
        ),
    )


def people(found: HandSet) -> Section:
    """What people see with bands, and with one threshold set by hand that catches as much."""
    ways = (found.bands, found.by_hand)
    return Section(
        title="What people see, beside one threshold set by hand",
        columns=("", "certified bands", f"all from {found.threshold:.4g} on"),
        rows=(
            ("items for people", *(f"{each.items:,}" for each in ways)),
            ("of them drawn by the audit", *(f"{each.audited:,}" for each in ways)),
            ("frauds caught", *(f"{each.caught:,} of {each.frauds:,}" for each in ways)),
            ("money lost to fraud", *(f"{each.lost_cents / 100:,.2f}" for each in ways)),
            ("accounts frozen wrongly", *(f"{each.frozen_wrongly:,}" for each in ways)),
        ),
        sentences=(
            "The threshold is the one that catches as much fraud on the labelled history as the bands do; reviewers and frozen "
            "accounts are as in the comparison with a nightly batch.",
            f"With bands people see {_change(found.falls_by)}, and without what the audit draws "
            f"{_change(found.falls_by_without_audits)}.",
        ),
    )


def _change(falls_by: float) -> str:
    return f"{abs(falls_by):.0%} {'less' if falls_by >= 0 else 'more'}"


def drift(found: Drifted) -> Section:
    """How a drift was noticed, and what that saved."""
    begins = (
        f"After the stream above {found.sent:,} more events came. From event {found.before + 1:,} of them on, {SHARE:.0%} are a "
        "fraud that the models do not know: copies of cards that buy what their holders usually buy."
    )
    alarm = found.alarm
    if alarm is None:
        return Section(
            title="A drift that raised no alarm",
            sentences=(
                begins,
                f"{found.heard:,} labels of audited items were heard, and no band was demoted; {found.wrong_until_alarm:,} frauds "
                "were approved. A larger audit.sample is heard sooner.",
            ),
        )
    return Section(
        title="A drift, the alarm, and what it saved",
        sentences=(
            begins,
            f"The alarm came {alarm.events:,} events later ({alarm.hours:.1f} h by their own time), after {found.heard:,} labels "
            f'of audited items: {alarm.wrong:,} of {alarm.labelled:,} in band "{alarm.band}" were wrong. It was demoted to review.',
            f"Wrongly approved were {found.wrong_until_alarm:,} frauds until then ({found.wrong_before:,} before the drift began), "
            f"and {found.wrong_after_alarm:,} of the {found.sent - found.before - alarm.events:,} events after it: "
            f"{found.prevented:,} frauds of {found.prevented_cents / 100:,.2f} went to people instead, and with them "
            f"{found.honest_to_people:,} honest purchases.",
            f'"{alarm.band}" acts again when it is certified anew and a second person says so: pointsman bands rearm.',
        ),
    )
