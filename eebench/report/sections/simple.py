"""Score on the shorter half of dev (layout of COST-EFF, last block of Table 3)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from eebench.reference.keys import COSTEFF_MAIN, Key
from eebench.report.markdown import MISSING, escape, percent_with_spread, signed, table, times
from eebench.report.sections.ground import Block, Ground, of
from eebench.report.sections.printed import Row, beside, column, in_their_metric, note
from eebench.sections import SimpleSection

ITEM = "simple inputs"
MEANING = (
    "Simple inputs: instances of dev with fewer tokens (padding left out) than its median. The setting is the one "
    "chosen for all inputs. FLOPs reductions are means over the tasks shown."
)
Pair = tuple["pd.Series[Any] | None", "pd.Series[Any] | None"]
"""The same setting on all inputs and on the simple ones."""


def simple(section: SimpleSection, ground: Ground) -> Iterator[Block]:
    """A row per method: its point on all inputs and on simple ones."""
    read = {task: _beside(section, ground, task) for task in ground.tasks(section)}
    found = {(label, task): _pair(section, read[task][0], label, task)
             for label in section.methods for task in read}  # fmt: skip
    labels = [
        label
        for label in section.methods
        if any(_known(found[place]) for place in found if place[0] == label)
    ]
    tasks = [task for task in ground.tasks(section) if any(_known(found[label, task]) for label in labels)]
    if not labels:
        return
    rows: list[Row | None] = []
    headers = ["method", "FLOPs reduction", "on simple inputs"]
    pairs = [[found[label, task] for task in tasks] for label in labels]
    body = [
        [escape(ground.title(label)), *_reductions(line)] for label, line in zip(labels, pairs, strict=True)
    ]
    for index, task in enumerate(tasks):
        _, printed, words = read[task]
        theirs = [printed[section.methods.index(label)] for label in labels]
        rows += theirs
        header, more = column(f"{words} simple", theirs)
        headers += [f"{escape(words)} all", f"{escape(words)} simple", "difference", *header]
        body = [
            [*line, *_scores(pair[index]), *theirs_too]
            for line, pair, theirs_too in zip(body, pairs, more, strict=True)
        ]
    yield table(headers, body)
    yield MEANING
    yield from note(rows)


def _beside(section: SimpleSection, ground: Ground, task: str) -> tuple[Ground, list[Row | None], str]:
    """The results of a task and the printed rows, in one metric."""
    keys = (Key(COSTEFF_MAIN, label, ground.backbone, task, ITEM) for label in section.methods)
    return in_their_metric(ground, task, [beside(key) for key in keys])


def _pair(section: SimpleSection, ground: Ground, label: str, task: str) -> Pair:
    """The chosen point, and the row of the same rule and setting on simple inputs."""
    point = ground.nearest(label, task, section.speedups.get(label))
    rows = of(ground.simple, label, task)
    if point is None or rows.empty:
        return point, None
    rows = rows[(rows["rule"] == point["rule"]) & (rows["setting"] == point["setting"])]
    return point, rows.iloc[0] if len(rows) else None


def _known(pair: Pair) -> bool:
    return pair[1] is not None


def _reductions(pairs: list[Pair]) -> list[str]:
    """The mean FLOPs reduction over the tasks that have both points."""
    both = [(point, row) for point, row in pairs if point is not None and row is not None]
    return [times(sum(float(pair[side]["speedup_flops"]) for pair in both) / len(both)) for side in (0, 1)]


def _scores(pair: Pair) -> list[str]:
    """Score on all inputs, on simple ones, and the difference."""
    point, row = pair
    if point is None or row is None:
        return [MISSING] * 3
    return [
        percent_with_spread(point["score_mean"], point["score_std"]),
        percent_with_spread(row["score_mean"], row["score_std"]),
        signed(float(row["score_mean"]) - float(point["score_mean"])),
    ]
