"""Writes docs/certificates.md and its pictures from the results that lie beside this; `page.py` calls it."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HERE = Path(__file__).parent
DOCS = HERE.parent / "docs"
PICTURES = DOCS / "certificates"
BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#888888"
WAYS = {"certified": "**certified**", "picked": "picked on all labels"}


def write() -> None:
    """Write the page, with a section for each result that is there."""
    sections: dict[str, Callable[[dict[str, Any]], list[str]]] = {
        "certificates": lambda found: [*_resplits(found), *_weighted(found)],
        "monitors": _monitors,
        "seasons": lambda found: [*_drift(found), *_load(found)],
        "overhead": _overhead,
    }
    PICTURES.mkdir(exist_ok=True)
    lines = [
        "# Certified bands, measured",
        "",
        "Made by `make bench` on seeds that nothing was tuned on; the numbers are data under `benchmarks/results/`.",
    ]
    for name, section in sections.items():
        file = HERE / "results" / f"{name}.json"
        if file.exists():
            lines += section(orjson.loads(file.read_bytes()))
    (DOCS / "certificates.md").write_text("\n".join(lines) + "\n")


def _resplits(found: dict[str, Any]) -> list[str]:
    runs, sizes = found["resplits"], found["sizes"]
    first, least = next(iter(sizes.values())), next(iter(sizes))
    freeze = first["freeze"]
    more, share = freeze["more_needed"], freeze["picked"]["automatic_share"]
    _promises_picture(found)
    return [
        "",
        "## Whether they keep their promise",
        "",
        f"{found['world']:,} generated transactions are scored by the fraud example. {runs} times a number of them is drawn as "
        "labelled, and thresholds are found on these: by `certify --choose`, on one half and tested on the other, or by taking "
        "the largest band whose labelled items keep the promise. The truth is counted on all the other transactions. Measured "
        f"{found['date']}.",
        "",
        "| band | labelled | thresholds | found in | promise broken in | at most (95 %) | median error | worst | automatic |",
        "|---|---|---|---|---|---|---|---|---|",
        *(
            f"| {name}: at most {bands[name]['promise']:.1%} | {int(size):,} | {called} | {each['found']} of {runs} | "
            f"{each['broken_share']:.1%} | {each['at_most']:.1%} | {_error(each['median_error'])} | "
            f"{_error(each['worst_error'])} | {each['automatic_share']:.2%} |"
            for name in first
            for size, bands in sizes.items()
            for way, called in WAYS.items()
            for each in [bands[name][way]]
        ),
        "",
        f"A certificate may be wrong in at most {first['approve']['delta']:.0%} of cases. A threshold that is picked breaks its "
        "promise in about half of them, however many labels it is picked on: it lies where they say that the promise just holds.",
        "",
        f'What limits "freeze" is that {share:.1%} of the transactions are in it at most. Without one that is wrong, 1 % takes 299 '
        f"labelled items in the half that tests one threshold, 459 where it tests five; of {int(least):,} labelled transactions "
        f"about {share * int(least) / 2:,.0f} are there"
        + (f", and `certify` asks for {more:,.0f} more of the band (median)." if more is not None else ".")
        + " Where it is certified the table shows what becomes of its promise.",
        "",
        "![how often promises break](certificates/promises.svg)",
    ]


def _weighted(found: dict[str, Any]) -> list[str]:
    weighted = found["weighted"]
    runs = weighted["runs"]
    return [
        "",
        "## Labels that come by selection",
        "",
        f"Of the band that approves, the surest items are all labelled, and others with a probability of "
        f"{weighted['labelled_share']['others']:g}, as where people label what comes easily. Its true error is "
        f"{weighted['truth']:.4%}. Counted plainly the labels say less.",
        "",
        "| promise | | certified plainly | certified with weights |",
        "|---|---|---|---|",
        *(
            f"| {each['promise']:.4%} | {name} | {each['plain']} of {runs} | {each['weighted']} of {runs} |"
            for name, each in weighted["promises"].items()
        ),
        "",
        f"In the row of the broken promise each certificate is wrong: at most {weighted['delta']:.0%} of the runs may give one.",
    ]


def _monitors(monitors: dict[str, Any]) -> list[str]:
    _monitors_picture(monitors)
    false = monitors["false_alarms"]
    return [
        "",
        "## Monitors",
        "",
        f"Bands that keep a promise of {monitors['alpha']:.0%} exactly, a year of {false['labels']:,} audited labels each: "
        f"{false['alarms']} of {false['runs']} were demoted by mistake ({false['share']:.1%}; promised is at most 5 %, ever). "
        f"A label costs {monitors['label_us']:.2g} µs, the audit draw {monitors['audit_us_an_event']:.2g} µs an event. "
        f"Simulated {monitors['date']}.",
        "",
        "The limit is a test that knows what no monitor knows: the error, and the label at which it began. On average it needs "
        "log 20 / KL labels, KL being what one label says of this error against the promise.",
        "",
        "| the band's error | labels until it is demoted: median (quartiles) | within 1,000 | the limit: median | within 1,000 "
        "| log 20 / KL |",
        "|---|---|---|---|---|---|",
        *(
            f"| {each['error']} | {each['median']:,.0f} ({each['quarter']:,.0f} to {each['three_quarters']:,.0f}) | "
            f"{each['within_1000']:.0%} | {each['knowing']['median']:,.0f} | {each['knowing']['within_1000']:.0%} | "
            f"{each['least']:,.0f} |"
            for each in monitors["found"]
        ),
        "",
        "![labels until a band is demoted](certificates/monitors.svg)",
    ]


def _drift(seasons: dict[str, Any]) -> list[str]:
    _drift_picture(seasons)
    days, any_ = seasons["days"], next(iter(seasons["drift"].values()))
    at = max((each["thresholds"] for each in seasons["load"]), key=lambda each: each["freeze"] is not None)
    return [
        "",
        "## When fraud changes",
        "",
        f"{len(seasons['seeds'])} seasons on seeds of their own: the trees learn from {days['learned']} days as in the demo, the "
        f"bands below {at['approve']:g} and from {at['freeze']:g} on are certified on {days['labelled']} labelled ones, "
        f"{days['calm']} calm days follow, and then "
        f"{days['drifted']} on which fraud hides better. The error of what is approved goes from {any_['error_before']:.3%} to "
        f"{any_['error_after']:.3%}, where 0.1 % was promised: a certificate speaks of what it was measured on, and only the "
        "monitor, which hears each day's audited labels when the day ends, sees that this is no longer so.",
        "",
        "| audited | labels a day | demoted within the days | after days of drift: median (quartiles) | demoted before the drift "
        "| wrong approvals: picked, not watched | certified, not watched | **certified and watched** | money lost, not watched "
        "| watched |",
        "|---|---|---|---|---|---|---|---|---|---|",
        *(
            f"| {float(share):.2%} | {each['labels_a_day']:.0f} | {each['found']:.0%} | {_days(each['days']['median'])} "
            f"({_days(each['days']['quarter'])} to {_days(each['days']['three_quarters'])}) | {each['early']:.0%} | "
            f"{each['wrong']['picked']:,.0f} | {each['wrong']['certified']:,.0f} | {each['wrong']['monitored']:,.0f} | "
            f"{each['lost']['certified']:,.0f} | {each['lost']['monitored']:,.0f} |"
            for share, each in seasons["drift"].items()
        ),
        "",
        f"After the drift, means over {any_['runs']} samples ({any_['runs'] // len(seasons['seeds'])} a season); money in the "
        "example's currency. What limits it is how many labels come a day: the error has to show in them. Fraud hides from the "
        f"band that freezes too: {any_['freezes']:,.0f} items are in it in all those days, which no audit could judge.",
        "",
        "![wrong approvals](certificates/drift.svg)",
    ]


def _load(seasons: dict[str, Any]) -> list[str]:
    _load_picture(seasons)
    people, load = seasons["reviewers"], seasons["load"]
    shares = list(load[0]["audited"])
    alone = [1 - each["each_by_itself"]["bands"] / each["each_by_itself"]["by_hand"] for each in load]
    followed = [1 - each["bands"]["items"] / each["by_hand"]["items"] for each in load]
    total = {share: _falls(load, share) for share in shares}
    saved = 1 - sum(each["bands"]["lost"] for each in load) / sum(each["by_hand"]["lost"] for each in load)
    uncertified = sum(each["thresholds"]["freeze"] is None for each in load)
    return [
        "",
        "## What people must look at",
        "",
        "The calm days of the same seasons, with certified bands, and with one threshold from which on people look at everything "
        "and nothing is automatic. It is set on the labelled days so that it catches as much fraud as the bands do. "
        f"{people['count']} reviewers take {people['minutes_an_item']:g} minutes an item; a frozen account refuses what is bought "
        "next, which nobody then looks at. Caught is a fraud that was refused, declined, or seen by a person.",
        "",
        "| seed | frauds | caught: bands, by hand | items for people: bands | by hand | less by | money lost: bands | by hand "
        "| frozen wrongly | " + " | ".join(f"items with {float(share):.2%} audited" for share in shares) + " |",
        "|---|---|---|---|---|---|---|---|---|" + "---|" * len(shares),
        *(
            f"| {seed} | {each['frauds']:,} | {each['bands']['caught']:,}, {each['by_hand']['caught']:,} | "
            f"{each['bands']['items']:,} | {each['by_hand']['items']:,} | {_falls_by(less)} | {each['bands']['lost']:,.0f} | "
            f"{each['by_hand']['lost']:,.0f} | {each['bands']['frozen_wrongly']} | "
            + " | ".join(f"{each['audited'][share]:,}" for share in shares)
            + " |"
            for seed, each, less in zip(seasons["seeds"], load, followed, strict=True)
        ),
        "",
        f"People look at {statistics.mean(followed):.0%} less on average ({_falls_by(min(followed))} to {max(followed):.0%}), "
        f"where 35 % were aimed at, and {'no more' if saved >= 0 else 'more'} money is lost ({abs(saved):.0%} less). Counted as "
        "the "
        f"decisions are, each by itself and no account refusing anything, it is {statistics.mean(alone):.0%} "
        f"({_falls_by(min(alone))} to {max(alone):.0%}): a reviewer's verdict freezes an account too, and so spares "
        "the threshold's reviewers the rest of a "
        "burst.",
        "",
        "What limits it is the band that freezes: what it holds is all that people no longer see, and where it cannot be "
        f"certified, as in {uncertified} of these seasons, it holds nothing. Audits come on top, and are the price of the "
        "monitor: "
        + ", ".join(f"with {float(share):.2%} audited people look at {_less(total[share])}" for share in shares)
        + ". A smaller share keeps the load down, and the drift is found later, or not within the days above.",
        "",
        "![what people look at](certificates/load.svg)",
    ]


def _falls(load: list[dict[str, Any]], share: str) -> float:
    return statistics.mean(1 - each["audited"][share] / each["by_hand"]["items"] for each in load)


def _falls_by(share: float) -> str:
    return f"{round(share, 2) + 0.0:.0%}"  # no "-0%"


def _less(falls: float) -> str:
    return f"{falls:.0%} less" if falls >= 0 else f"{-falls:.0%} more"


def _overhead(overhead: dict[str, Any]) -> list[str]:
    more, noise, used = overhead["more_us"], overhead["noise_us"], overhead["cpu_us_an_event"]
    return [
        "",
        "## What it costs an event",
        "",
        f"The engine in one process, {overhead['batches']} batches of 1,000 given to each arm in turned order: with live "
        f"certificates and 1 % audited it takes {used['certified']:.1f} µs of CPU an event, without either "
        f"{used['plain']:.1f}: {more['median']:+.2f} µs ({more['low']:+.2f} to {more['high']:+.2f} with 95 % confidence; the "
        f"same arm twice differs by {noise['median']:+.2f}, {noise['low']:+.2f} to {noise['high']:+.2f}). What is audited is "
        "written as review items: it is in the figure. A monitor works when a label comes, not in the hot path. Promised is at "
        "most 5 µs.",
    ]


def _error(value: float | None) -> str:
    return "" if value is None else f"{value:.3%}"


def _days(value: float | None) -> str:
    return "never" if value is None else f"{value:.0f}"


def _axes(title: str, *, height: float = 3.0) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(8, height), layout="constrained")
    axes: Axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(title, loc="left", fontsize=11)
    return figure, axes


def _save(figure: Figure, file: str) -> None:
    figure.savefig(PICTURES / file, metadata={"Date": None})


def _promises_picture(found: dict[str, Any]) -> None:
    figure, axes = _axes("promises broken, % of the resplits (with what that is at most, 95 %)")
    sizes = list(found["sizes"])
    for band, mark in (("approve", "o"), ("freeze", "s")):
        for way, colour in (("certified", BLUE), ("picked", ORANGE)):
            of = [found["sizes"][size][band][way] for size in sizes]
            broken = [100 * each["broken_share"] for each in of]
            reach = [100 * each["at_most"] - 100 * each["broken_share"] for each in of]
            axes.errorbar(sizes, broken, yerr=[[0] * len(of), reach], marker=mark, color=colour, label=f"{band}, {way}")
    axes.axhline(5, color=GREY, linestyle="--", label="allowed")
    axes.set_xticks(range(len(sizes)), [f"{int(size):,}" for size in sizes])
    axes.set_xlabel("labelled transactions")
    axes.set_ylim(0, 100)
    axes.legend(frameon=False, ncols=3, fontsize=8)
    _save(figure, "promises.svg")


def _monitors_picture(monitors: dict[str, Any]) -> None:
    found = monitors["found"][::-1]
    figure, axes = _axes("labels until a band is demoted: median and quartiles", height=3.4)
    names, middle = [each["error"] for each in found], [each["median"] for each in found]
    reach = [
        [each["median"] - each["quarter"] for each in found],
        [each["three_quarters"] - each["median"] for each in found],
    ]
    axes.barh(names, middle, xerr=reach, color=BLUE, label="the monitor", error_kw={"ecolor": GREY})
    knowing = [each["knowing"]["median"] for each in found]
    axes.plot(knowing, names, "D", color=ORANGE, label="who knows error and beginning")
    axes.legend(frameon=False, fontsize=8, loc="lower right")
    _save(figure, "monitors.svg")


def _drift_picture(seasons: dict[str, Any]) -> None:
    figure, axes = _axes("wrong approvals after fraud has changed, a season", height=2.6)
    any_ = next(iter(seasons["drift"].values()))["wrong"]
    bars = {"picked, not watched": any_["picked"], "certified, not watched": any_["certified"]} | {
        f"certified and watched, {float(share):.2%} audited": each["wrong"]["monitored"]
        for share, each in seasons["drift"].items()
    }
    colours = [GREY, GREY, *[BLUE] * len(seasons["drift"])]
    drawn = axes.barh([*bars][::-1], [*bars.values()][::-1], color=colours[::-1])
    axes.bar_label(drawn, fmt="{:,.0f}", padding=3)
    _save(figure, "drift.svg")


def _load_picture(seasons: dict[str, Any]) -> None:
    figure, axes = _axes("items for people on the calm days", height=3.4)
    names, load = [str(seed) for seed in seasons["seeds"]], seasons["load"]
    shares = list(load[0]["audited"])
    arms = {"by hand": [each["by_hand"]["items"] for each in load], "bands": [each["bands"]["items"] for each in load]}
    arms |= {f"bands, {float(share):.2%} audited": [each["audited"][share] for each in load] for share in shares}
    width = 0.8 / len(arms)
    for place, ((name, values), colour) in enumerate(
        zip(arms.items(), (GREY, BLUE, "#56B4E9", "#CC79A7"), strict=False)
    ):
        axes.bar([at + place * width for at in range(len(names))], values, width, color=colour, label=name)
    axes.set_xticks([at + 0.4 - width / 2 for at in range(len(names))], [f"seed {name}" for name in names])
    axes.legend(frameon=False, ncols=2, fontsize=8)
    _save(figure, "load.svg")
