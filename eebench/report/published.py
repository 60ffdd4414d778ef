"""Published numbers beside ours: neighbouring columns, never one average."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import pandas as pd

from eebench.reference import PAPERS, published
from eebench.report.markdown import MISSING, escape, table
from eebench.report.sections.printed import OTHER_METRIC, OTHER_METRIC_MEANS, is_other_metric, of_backbone
from eebench.report.selection import Shown
from eebench.report.tables import operating_points

WHY = (
    "Ours may differ for reasons that have nothing to do with a method: another backbone, another protocol "
    "(epochs, search, how settings are chosen), another count of cost. The papers' own BERT rows differ by "
    "several points from one another, so compare a row with the full model of its own column only. "
    "A published cell that is hard to read or does not add up is marked with *."
)


def published_tables(
    points: pd.DataFrame, methods: Mapping[str, Shown], held: pd.DataFrame | None = None
) -> Iterator[str]:
    """One table per paper that has numbers for these methods and tasks, with ours at the operating point.

    `points` holds one backbone, split and convention, `held` the points that choose, if others do.
    """
    ours = {
        (method.name, str(point["task"])): (100 * float(point["score_mean"]), float(point["speedup_flops"]))
        for method, point in operating_points(points, methods, held)
    }
    backbone = str(points["backbone"].iloc[0]) if len(points) else ""
    found = {
        (name, task): _rows(name, task, backbone, speedup) for (name, task), (_, speedup) in ours.items()
    }
    metrics = {str(task): str(metric) for task, metric in zip(points["task"], points["metric"], strict=True)}
    for paper in PAPERS:
        tasks = list(dict.fromkeys(task for (_, task), rows in found.items() if paper in rows))
        names = list(dict.fromkeys(name for (name, _), rows in found.items() if paper in rows))
        if not tasks:
            continue
        headers = ["method"]
        for task in tasks:
            headers += [f"{escape(task)}: {escape(paper)}", "their speed-up", f"{escape(task)}: ours",
                        "our speed-up"]  # fmt: skip
        body = []
        for name in names:
            line = [escape(methods[name].title)]
            for task in tasks:
                cell = found.get((name, task), {}).get(paper)
                score, speedup = ours.get((name, task), (None, None))
                line += [_published(cell, metrics[task]), MISSING if cell is None else _times(_speedup(cell)),
                         MISSING if score is None else f"{score:.1f}", _times(speedup)]  # fmt: skip
            body.append(line)
        yield f"**{escape(paper)}** ({escape(PAPERS[paper].title)}, {escape(PAPERS[paper].venue)}), dev"
        yield table(headers, body, "l")
        rows = (rows[paper] for rows in found.values() if paper in rows)
        if any(is_other_metric(row, metrics[str(row["task"])]) for row in rows):
            yield OTHER_METRIC_MEANS


def _rows(method: str, task: str, backbone: str, ours: float) -> dict[str, pd.Series]:
    """The published dev row of a method on a task, by paper; of several settings the one nearest to our speed-up."""
    rows = published(task, method)
    rows = rows[rows["split"] != "test"]
    papers = (of_backbone(rows[rows["paper"] == paper], backbone) for paper in rows["paper"].unique())
    return {str(part["paper"].iloc[0]): _nearest(part, ours) for part in papers if len(part)}


def _nearest(rows: pd.DataFrame, ours: float) -> pd.Series:
    """The row whose speed-up is nearest to ours; the first where none is known."""
    distances = [abs(_speedup(row) - ours) for _, row in rows.iterrows()]
    known = [math.inf if math.isnan(distance) else distance for distance in distances]
    return rows.iloc[known.index(min(known))]


def _speedup(row: pd.Series) -> float:
    """The printed speed-up, or that of a printed cost in percent; nan for neither."""
    return float(row["speedup"] if row["speedup"] > 0 else 100 / row["cost_percent"])


def _times(speedup: float | None) -> str:
    return MISSING if speedup is None or math.isnan(speedup) else f"{speedup:.2f}x"


def _published(row: pd.Series | None, ours: str) -> str:
    if row is None:
        return MISSING
    mark = ("*" if row["doubtful"] else "") + (OTHER_METRIC if is_other_metric(row, ours) else "")
    setting = f" ({escape(row['setting'])})" if row["setting"] else ""
    return f"{float(row['score']):.1f}{mark}{setting}"
