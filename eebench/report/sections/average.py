"""Score of each method on each task and their plain mean (layout of CsdBERT, Tables 3 and 4)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from eebench.reference.keys import AVERAGES, Key, Table, keys_of
from eebench.report.markdown import MISSING, escape, percent, percent_with_spread, table, times
from eebench.report.sections.ground import Block, Ground, Spread
from eebench.report.sections.printed import Row, beside, column, in_their_metric, note
from eebench.sections import AverageSection

AVERAGE, MEAN = "average", "mean"
MEANING = (
    "Average: the plain mean of a method's scores over the tasks shown, for methods with a score on each; metrics of "
    "several kinds are averaged as they are, as the paper does. The printed average stands beside it where the tasks "
    "are those of the printed table. Each score is that at twice the speed; speed-up: the mean over tasks."
)
Point = pd.Series


@dataclass(frozen=True)
class Part:
    """One task: the points of the methods, the printed rows beside them, and its name with the metric."""

    points: list[Point | None]
    theirs: list[Row | None]
    words: str


def average(section: AverageSection, ground: Ground) -> Iterator[Block]:
    """A row per method: its speed-up, its score on each task and their mean."""
    tasks = [task for task in ground.tasks(section)
             if any(ground.operating(label, task) is not None for label in section.methods)]  # fmt: skip
    printed = next((part for part in AVERAGES if tasks and set(tasks) & _tasks(part)), None)
    parts = [_part(section, ground, task, printed) for task in tasks]
    if not parts:
        return
    scores = list(zip(*(part.points for part in parts), strict=True))
    means = [_mean(ground, label, printed) if printed is not None and set(tasks) == _tasks(printed) else None
             for label in section.methods]  # fmt: skip
    headers = ["method", "speed-up"]
    body = [
        [escape(ground.title(label)), times(_speedup(row))]
        for label, row in zip(section.methods, scores, strict=True)
    ]
    columns = [(part.words, part.theirs, [_score(point) for point in part.points]) for part in parts]
    for words, theirs, ours in [*columns, (AVERAGE, means, [percent(_average(row)) for row in scores])]:
        header, more = column(words, theirs)
        headers += [escape(words), *header]
        body = [[*line, mine, *cells] for line, mine, cells in zip(body, ours, more, strict=True)]
    yield table(
        headers, [line for line, row in zip(body, scores, strict=True) if any(p is not None for p in row)]
    )
    yield MEANING
    yield from note([*(row for part in parts for row in part.theirs), *means])


def _tasks(part: Table) -> set[str]:
    """The tasks of a printed table."""
    return {key.task for key in keys_of(part)} - {AVERAGE}


def _part(section: AverageSection, ground: Ground, task: str, printed: Table | None) -> Part:
    """One task, in the metric that is printed where we have it."""
    rows = [None if printed is None else beside(Key(printed, label, ground.backbone, task))
            for label in section.methods]  # fmt: skip
    same, theirs, words = in_their_metric(ground, task, rows)
    return Part([same.operating(label, task) for label in section.methods], theirs, words)


def _mean(ground: Ground, label: str, printed: Table) -> Row | None:
    """The printed average of a method."""
    return beside(Key(printed, label, ground.backbone, AVERAGE, quantity=MEAN))


def _average(points: tuple[Point | None, ...]) -> float:
    """The plain mean of the scores; NaN when a task has none."""
    scores = [float("nan") if point is None else float(point["score_mean"]) for point in points]
    return sum(scores) / len(scores)


def _speedup(points: tuple[Point | None, ...]) -> float:
    """The mean over the tasks that have a point; NaN for none."""
    return Spread.of(float(point["speedup_flops"]) for point in points if point is not None).mean


def _score(point: Point | None) -> str:
    return MISSING if point is None else percent_with_spread(point["score_mean"], point["score_std"])
