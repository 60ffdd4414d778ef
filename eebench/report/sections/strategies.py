"""Every method under every exit rule (layout of GAML-BERT, Table 5)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from eebench.reference.keys import GAML_RULES, Key
from eebench.report.markdown import MISSING, escape, percent_with_spread, table, times
from eebench.report.sections.ground import Block, Ground
from eebench.report.sections.printed import Row, beside, column, in_their_metric, note, paper_of
from eebench.report.selection import STATIC_RULE, TARGET, WINDOW
from eebench.sections import StrategiesSection

OFF_TARGET = "†"
Point = pd.Series


def strategies(section: StrategiesSection, ground: Ground) -> Iterator[Block]:
    """A row per rule and method at the operating point, whatever the method's own rule is."""
    tasks = ground.tasks(section)
    swept = [rule for label in section.methods for task in tasks for rule in ground.rules(label, task)]
    rules = section.rules or [rule for rule in dict.fromkeys(swept) if rule != STATIC_RULE]
    places = [(rule, label) for rule in rules for label in section.methods]
    read = [_beside(ground, task, places) for task in tasks]
    points = {place: [same.operating(place[1], task, place[0])
                      for task, (same, _, _) in zip(tasks, read, strict=True)] for place in places}  # fmt: skip
    # What a paper printed is of its method; a label of another name is a variant that it did not print.
    theirs = {place: [rows[index] for _, rows, _ in read] for index, place in enumerate(places)}
    places = [place for place in places if any(point is not None for point in points[place])]
    if not places:
        return
    theirs = {place: theirs[place] for place in places}
    paper = paper_of(row for rows in theirs.values() for row in rows)
    headers = ["rule", "method", "speed-up", *(["speed-up: printed"] if paper else [])]
    body = [
        [escape(rule), escape(ground.title(label)), _mean_speedup(points[rule, label]),
         *([_their_speedup(theirs[rule, label])] if paper else [])]
        for rule, label in places
    ]  # fmt: skip
    for index, (_, _, words) in enumerate(read):
        header, cells = column(words, [theirs[place][index] for place in places])
        headers += [f"{escape(words)}: ours", *header]
        body = [
            [*line, _score(points[place][index]), *more]
            for line, place, more in zip(body, places, cells, strict=True)
        ]
    yield table(headers, body, "ll")
    if any(OFF_TARGET in line[2] for line in body):
        yield _off_target()
    yield from note(row for rows in theirs.values() for row in rows)


def _beside(ground: Ground, task: str, places: list[tuple[str, str]]) -> tuple[Ground, list[Row | None], str]:
    """The results of a task and the printed rows of each rule and label, in one metric."""
    keys = (Key(GAML_RULES, label, ground.backbone, task, f"rule={rule}") for rule, label in places)
    return in_their_metric(ground, task, [beside(key) for key in keys])


def _score(point: Point | None) -> str:
    return MISSING if point is None else percent_with_spread(point["score_mean"], point["score_std"])


def _mean_speedup(points: list[Any]) -> str:
    """The mean over tasks, as in the paper, marked when any of them is outside the window."""
    speedups = [float(point["speedup_flops"]) for point in points if point is not None]
    outside = any(not WINDOW[0] <= speedup <= WINDOW[1] for speedup in speedups)
    return times(sum(speedups) / len(speedups)) + (OFF_TARGET if outside else "")


def _their_speedup(rows: list[Row | None]) -> str:
    """The printed speed-up, one for all tasks."""
    return next((times(float(row["speedup"])) for row in rows if row is not None), MISSING)


def _off_target() -> str:
    low, high = (f"{end:.2f}x" for end in WINDOW)
    return (
        f"{OFF_TARGET} on some task the point has a speed-up outside {low} to {high}; it is the one nearest to "
        f"{TARGET:.2f}x."
    )
