"""What the papers printed, beside ours: which row of a table, in which metric, and how it is written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pandas as pd

from eebench.reference.keys import TWINS, Key, keys_beside, printed_row
from eebench.report.markdown import MISSING, escape
from eebench.report.sections.ground import Ground
from eebench.tasks.metrics import metric_title

Row = pd.Series
CELLS = ("score", "flops", "cost", "reductions")
"""The cells of a row that a doubt can name."""

UNNAMED = "unspecified"
OTHER_METRIC = "†"
OTHER_METRIC_MEANS = (
    f"{OTHER_METRIC} marks a printed score of another metric than ours; the two do not compare."
)


def beside(key: Key, own_only: bool = False) -> Row | None:
    """The printed row that stands beside a run of ours, whose label and backbone the key has; None if there is none.

    `own_only` refuses BERT-base's row beside another checkpoint, where ours of BERT-base may stand in the same table.
    """
    rows = (printed_row(there) for there in keys_beside(key, own_only))
    return next((row for row in rows if row is not None), None)


def is_other_metric(row: Row, ours: str) -> bool:
    """Whether a row is known to be of another metric than ours, which is empty if it is not known."""
    return bool(ours) and row["metric"] not in (ours, UNNAMED)


def in_their_metric(
    ground: Ground, task: str, rows: list[Row | None]
) -> tuple[Ground, list[Row | None], str]:
    """The results to set beside printed rows of a task: those of the printed metric where we have it.

    Also the rows, whose ``other`` says that ours are of another metric after all, and the name of the task and, where
    it is not the one of the rest of the page, the metric.
    """
    theirs = {str(row["metric"]) for row in rows if row is not None} - {UNNAMED}
    same = ground.in_metric(task, theirs.pop()) if len(theirs) == 1 else ground
    ours = same.metric_name(task)
    marked = [None if row is None else row.copy() for row in rows]
    for row in marked:
        if row is not None:
            row["other"] = is_other_metric(row, ours)
    words = task if ours == ground.metric_name(task) else f"{task} ({metric_title(ours)})"
    return same, marked, words


def paper_of(rows: Iterable[Row | None]) -> str:
    """The paper of the first row there is; empty without one."""
    return next((str(row["paper"]) for row in rows if row is not None), "")


def note(rows: Iterable[Row | None]) -> Iterator[str]:
    """Where printed numbers come from; nothing when there are none."""
    there = [row for row in rows if row is not None]
    tables = dict.fromkeys(f"{row['paper']} (Table {row['table']})" for row in there)
    backbones = dict.fromkeys(str(row["backbone"]) for row in there)
    if tables:
        yield (
            f"Printed: by {', '.join(map(escape, tables))}, for {', '.join(map(escape, backbones))} under its own "
            "protocol; compare differences within a column, not columns. * marks a printed cell that is hard to read "
            "or does not add up."
        )
    yield from twins(there)
    if any(row.get("other", False) for row in there):
        yield OTHER_METRIC_MEANS


def twins(rows: Iterable[Row]) -> Iterator[str]:
    """Which rows stand beside ours under a name of their own."""
    found = [(str(row["paper"]), row["method"], row["backbone"], str(row["printed"])) for row in rows]
    for (paper, label), twin in TWINS.items():
        names = dict.fromkeys(name for *place, name in found if place == [paper, twin.method, twin.backbone])
        for name in names:
            yield f"Beside {escape(label)} stands the row that {paper} prints as {escape(name)}: {twin.why}."


def column(
    title: str, rows: list[Row | None], places: int = 1, key: str = "score"
) -> tuple[list[str], list[list[str]]]:
    """A column of printed numbers: its header and one list per row, both empty when no paper has a number here."""
    if not paper_of(rows):
        return [], [[] for _ in rows]
    return [f"{escape(title)}: printed"], [[cell(row, places, key)] for row in rows]


def cell(row: Row | None, places: int = 1, key: str = "score") -> str:
    """A printed number; a doubt is marked where its words do not name another cell."""
    if row is None or pd.isna(row[key]):
        return MISSING
    named, _, _ = str(row["doubtful"]).partition(":")
    here = key.removesuffix("_percent").replace("speedup", "reductions") in named
    mark = "*" if named and (here or not any(name in named for name in CELLS)) else ""
    mark += OTHER_METRIC if key == "score" and row.get("other", False) else ""
    return f"{float(row[key]):,.{places}f}{mark}"
