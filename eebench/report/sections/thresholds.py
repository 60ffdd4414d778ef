"""Every method at the same few settings of one rule (layout of SmartBERT, Table 1)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from eebench.reference.keys import SMARTBERT_MAIN, Key
from eebench.report.markdown import MISSING, escape, mega, percent, percent_with_spread, table
from eebench.report.sections.ground import Block, Ground
from eebench.report.sections.printed import Row, beside, column, in_their_metric, note
from eebench.sections import ThresholdsSection

MEANING = (
    "Cost: FLOPs per sample in percent of the full backbone's with its ordinary classifier; exits and gates can make "
    "it more than 100. Methods with one exit have one row and no setting."
)
KEYS = (("score", "score", 1), ("MFLOPs", "flops", 0), ("cost %", "cost_percent", 0))
"""Heading of ours, the printed column beside it, and its decimals."""

Place = tuple[str, float | None]
"""A label and a setting, None for a method with one exit."""


def thresholds(section: ThresholdsSection, ground: Ground) -> Iterator[Block]:
    """A row per method and setting, and per task score, FLOPs and cost beside the printed ones."""
    tasks = ground.tasks(section)
    places = list(_places(section, ground, tasks))
    read = [in_their_metric(ground, task, [_printed(section, ground, task, place) for place in places])
            for task in tasks]  # fmt: skip
    points = {place: [_point(section, same, task, place) for task, (same, _, _) in zip(tasks, read, strict=True)]
              for place in places}  # fmt: skip
    points = {place: row for place, row in points.items() if any(point is not None for point in row)}
    if not points:
        return
    headers = ["method", escape(section.rule)]
    body = [[escape(ground.title(label)), MISSING if setting is None else f"{setting:g}"]
            for label, setting in points]  # fmt: skip
    found: list[Row | None] = []
    for index, (_, rows, words) in enumerate(read):
        theirs = [row for place, row in zip(places, rows, strict=True) if place in points]
        found += theirs
        columns = zip(*(cells(row[index]) for row in points.values()), strict=True)
        for (title, key, decimals), ours in zip(KEYS, columns, strict=True):
            header, more = column(f"{words} {title}", theirs, decimals, key)
            headers += [f"{escape(words)} {title}", *header]
            body = [[*line, mine, *printed] for line, mine, printed in zip(body, ours, more, strict=True)]
    yield table(headers, body, "lr")
    yield MEANING
    yield from note(found)


def cells(point: pd.Series[Any] | None) -> list[str]:
    """Score, FLOPs in millions and cost in percent of the full backbone."""
    if point is None:
        return [MISSING] * len(KEYS)
    return [
        percent_with_spread(point["score_mean"], point["score_std"]),
        mega(point["flops_per_sample"]),
        percent(1 / float(point["speedup_flops"])),
    ]


def _places(section: ThresholdsSection, ground: Ground, tasks: list[str]) -> Iterator[Place]:
    """The rows: static methods once."""
    for label in section.methods:
        if any(ground.static(label, task) for task in tasks):
            yield label, None
        else:
            yield from ((label, setting) for setting in section.settings)


def _point(section: ThresholdsSection, ground: Ground, task: str, place: Place) -> pd.Series[Any] | None:
    """The point of a row on a task."""
    label, setting = place
    return ground.operating(label, task) if setting is None else ground.at(label, task, section.rule, setting)


def _printed(section: ThresholdsSection, ground: Ground, task: str, place: Place) -> Row | None:
    """The printed row beside a row of ours; the paper's settings are of the entropy."""
    label, threshold = place
    if threshold is not None and section.rule != "entropy":
        return None
    setting = "" if threshold is None else f"S={threshold:g}"
    return beside(Key(SMARTBERT_MAIN, label, ground.backbone, task, setting=setting))
