"""Gated methods with exiting switched off, beside the full model (layout of SmartBERT, Table 3)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from eebench.reference.keys import SMARTBERT_SKIPPING, Key
from eebench.report.markdown import MISSING, escape, percent, table
from eebench.report.sections.ground import Block, Ground
from eebench.report.sections.printed import Row, beside, column, in_their_metric, note
from eebench.report.sections.thresholds import KEYS, cells
from eebench.report.selection import STATIC_RULE
from eebench.sections import SkippingSection

FULL_ITEM, SKIP_ITEM = "repeated from Table 1", "exiting disabled"
MEANING = (
    "Nobody exits at an entropy below 0 (S=0), yet the exits that are passed are paid for; where that setting was not "
    "swept, every sample leaves at the last exit (exit=L), which pays for no other. Whether the paper's FLOPs count "
    "the exits is not printed. Layers run: the share of the backbone's layers that a sample runs in the mean."
)


def skipping(section: SkippingSection, ground: Ground) -> Iterator[Block]:
    """Per task the full model and the gated methods."""
    found: list[Row | None] = []
    for task in ground.tasks(section):
        full = ground.full(task)
        labels = list(dict.fromkeys([*([full] if full is not None else []), *section.methods]))
        same, rows, words = in_their_metric(
            ground, task, [_printed(ground, task, label, full) for label in labels]
        )
        points = {label: same.operating(label, task) if label == full else never_exits(same, label, task)
                  for label in labels}  # fmt: skip
        points = {label: point for label, point in points.items() if label == full or point is not None}
        if not points.keys() - {full}:
            continue
        theirs = [row for label, row in zip(labels, rows, strict=True) if label in points]
        yield _table(ground, words, points, theirs)
        found += theirs
    if found:
        yield MEANING
        yield from note(found)


def _table(
    ground: Ground, words: str, points: dict[str, pd.Series[Any] | None], theirs: list[Row | None]
) -> str:
    """One row per method; `words` name the task and, where it is another one, the metric."""
    headers = [f"{escape(words)}: method", "setting"]
    body = [
        [escape(ground.title(label)), MISSING if point is None else escape(point["setting"])]
        for label, point in points.items()
    ]
    columns = zip(*(cells(point) for point in points.values()), strict=True)
    for (title, key, places), ours in zip(KEYS, columns, strict=True):
        header, more = column(title, theirs, places, key)
        headers += [title, *header]
        body = [[*line, mine, *row] for line, mine, row in zip(body, ours, more, strict=True)]
    layers = [
        MISSING if point is None else percent(1 / float(point["speedup_layers"])) for point in points.values()
    ]
    body = [[*line, share] for line, share in zip(body, layers, strict=True)]
    return table([*headers, "layers run (%)"], body, "ll")


def _printed(ground: Ground, task: str, label: str, full: str | None) -> Row | None:
    """The printed row of the full model, or of a gated method whose exits are switched off."""
    item, setting = (FULL_ITEM, "") if label == full else (SKIP_ITEM, "S=0")
    return beside(Key(SMARTBERT_SKIPPING, label, ground.backbone, task, item, setting))


def never_exits(ground: Ground, label: str, task: str) -> pd.Series[Any] | None:
    """The point at which no sample exits before the end: entropy below 0, else the deepest fixed exit."""
    point = ground.at(label, task, "entropy", 0.0)
    exits = ground.exit_rows(label, task)
    if point is not None or exits.empty:
        return point
    return ground.at(label, task, STATIC_RULE, float(exits["exit"].iloc[-1]))
