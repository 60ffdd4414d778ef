"""Published numbers beside ours: neighbouring columns, never one average."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pandas as pd

from eebench.reference import PAPERS
from eebench.reference.keys import MAIN, Key, keys_of
from eebench.report.markdown import MISSING, escape, table
from eebench.report.sections.printed import (
    OTHER_METRIC,
    OTHER_METRIC_MEANS,
    UNNAMED,
    beside,
    is_other_metric,
    twins,
)
from eebench.report.selection import Shown
from eebench.report.tables import operating_points
from eebench.tasks.metrics import metric_title

Point = pd.Series
Place = tuple[str, str]
"""A method and a task."""

WHY = (
    "Ours may differ for reasons that have nothing to do with a method: another backbone, another protocol "
    "(epochs, search, how settings are chosen), another count of cost. The papers' own BERT rows differ by "
    "several points from one another, so compare a row with the full model of its own column only. "
    "A published cell that is hard to read or does not add up is marked with *."
)


@dataclass(frozen=True)
class Column:
    """One task of one paper: the printed rows and our points by method, and the metric that ours are shown in."""

    task: str
    theirs: Mapping[str, Point]
    ours: Mapping[str, Point]
    metric: str
    is_headline: bool

    def headers(self, paper: str) -> list[str]:
        """The titles of its four columns."""
        words = self.task if self.is_headline else f"{self.task} ({metric_title(self.metric)})"
        return [
            f"{escape(words)}: {escape(paper)}",
            "their speed-up",
            f"{escape(words)}: ours",
            "our speed-up",
        ]

    def cells(self, method: str) -> list[str]:
        """What stands in them for a method."""
        row, point = self.theirs.get(method), self.ours.get(method)
        return [
            _published(row, self.metric),
            MISSING if row is None else _times(_speedup(row)),
            MISSING if point is None else f"{100 * float(point['score_mean']):.1f}",
            MISSING if point is None else _times(float(point["speedup_flops"])),
        ]


def published_tables(
    points: pd.DataFrame,
    methods: Mapping[str, Shown],
    held: pd.DataFrame | None = None,
    every: pd.DataFrame | None = None,
) -> Iterator[str]:
    """One table per paper that has numbers for these methods and tasks, with ours at the operating point.

    `points` holds one backbone, split and convention, `held` the points that choose, if others do, `every` the
    points under all metrics: ours are shown in the metric that is printed, where they are among those.
    """
    ours = {
        (method.name, str(point["task"])): point for method, point in operating_points(points, methods, held)
    }
    backbone = str(points["backbone"].iloc[0]) if len(points) else ""
    found = {place: _rows(place, backbone, float(point["speedup_flops"])) for place, point in ours.items()}
    for paper in PAPERS:
        tasks = list(dict.fromkeys(task for (_, task), rows in found.items() if paper in rows))
        names = list(dict.fromkeys(name for (name, _), rows in found.items() if paper in rows))
        if not tasks:
            continue
        theirs = {place: rows[paper] for place, rows in found.items() if paper in rows}
        columns = [_column(task, theirs, ours, points if every is None else every) for task in tasks]
        yield f"**{escape(paper)}** ({escape(PAPERS[paper].title)}, {escape(PAPERS[paper].venue)}), dev"
        yield table(
            ["method", *(header for column in columns for header in column.headers(paper))],
            [[escape(methods[name].title), *(cell for column in columns for cell in column.cells(name))]
             for name in names],
            "l",
        )  # fmt: skip
        yield from twins(theirs.values())
        if any(is_other_metric(row, column.metric) for column in columns for row in column.theirs.values()):
            yield OTHER_METRIC_MEANS


def _column(
    task: str, theirs: Mapping[Place, Point], ours: Mapping[Place, Point], every: pd.DataFrame
) -> Column:
    """One task in the metric that is printed, if all of our points have it, else in ours."""
    rows = {name: row for (name, there), row in theirs.items() if there == task}
    points = {name: point for (name, there), point in ours.items() if there == task}
    metric = str(next(iter(points.values()))["metric"])
    printed = {str(row["metric"]) for row in rows.values()} - {UNNAMED}
    if len(printed) == 1 and printed != {metric}:
        (other,) = printed
        same = {name: found for name, point in points.items()
                if (found := _in_metric(point, every, other)) is not None}  # fmt: skip
        if len(same) == len(points):
            return Column(task, rows, same, other, is_headline=False)
    return Column(task, rows, points, metric, is_headline=True)


def _in_metric(point: Point, every: pd.DataFrame, metric: str) -> Point | None:
    """The row of the same setting under another metric."""
    same = [name for name in ("task", "backbone", "method", "split", "convention", "rule", "setting")
            if name in every.columns]  # fmt: skip
    rows = every[(every[same] == point[same]).all(axis=1) & (every["metric"] == metric)]
    return rows.iloc[0] if len(rows) else None


def _rows(place: Place, backbone: str, ours: float) -> dict[str, Point]:
    """The printed dev row of a method on a task, by paper; of several settings the one nearest to our speed-up."""
    method, task = place
    found: dict[str, Point] = {}
    for printed in MAIN:
        settings = dict.fromkeys(key.setting for key in keys_of(printed))
        keys = (Key(printed, method, backbone, task, setting=setting) for setting in settings)
        rows = [row for row in map(beside, keys) if row is not None]
        if rows:
            found[printed.paper] = _nearest(rows, ours)
    return found


def _nearest(rows: list[Point], ours: float) -> Point:
    """The row whose speed-up is nearest to ours; the first where none is known."""
    distances = [abs(_speedup(row) - ours) for row in rows]
    known = [math.inf if math.isnan(distance) else distance for distance in distances]
    return rows[known.index(min(known))]


def _speedup(row: Point) -> float:
    """The printed speed-up, or that of a printed cost in percent; nan for neither."""
    return float(row["speedup"] if row["speedup"] > 0 else 100 / row["cost_percent"])


def _times(speedup: float) -> str:
    return MISSING if math.isnan(speedup) else f"{speedup:.2f}x"


def _published(row: Point | None, ours: str) -> str:
    if row is None:
        return MISSING
    mark = ("*" if row["doubtful"] else "") + (OTHER_METRIC if is_other_metric(row, ours) else "")
    setting = f" ({escape(row['setting'])})" if row["setting"] else ""
    return f"{float(row['score']):.1f}{mark}{setting}"
