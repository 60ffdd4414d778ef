"""What the papers printed for ablations, pilots and other items that are no main result."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache

import pandas as pd

from eebench.reference import published, reference_names, reference_table
from eebench.report.markdown import MISSING, escape

Row = pd.Series
CELLS = ("score", "flops", "cost", "reductions")
"""The cells of a row that a doubt can name."""

BASE = "bert-base-uncased"
OTHER_METRIC = "†"
OTHER_METRIC_MEANS = (
    f"{OTHER_METRIC} marks a printed score of another metric than ours; the two do not compare."
)


def printed(task: str, method: str, item: str) -> Row | None:
    """The row that a paper printed for an item (``alpha=0.3``) of a method on a task; None if there is none."""
    rows = _items()
    rows = rows[(rows["task"] == task) & (rows["method"] == method) & (rows["item"] == item)]
    return rows.iloc[0] if len(rows) else None


def main_results(paper: str, task: str, label: str, backbone: str, metric: str = "") -> pd.DataFrame:
    """The main results that a paper printed for a method on a task, one row per setting; none for a variant.

    Of several backbones those of `backbone`, else those of BERT-base; a method that has one only is shown with it.
    The column ``other`` says whether a row is of another metric than `metric`, ours.
    """
    rows = published(task, label)
    rows = rows[(rows["paper"] == paper) & (rows["split"] != "test")]
    if rows["backbone"].nunique() > 1:
        rows = of_backbone(rows, backbone)
    return rows.assign(other=[is_other_metric(row, metric) for _, row in rows.iterrows()])


def of_backbone(rows: pd.DataFrame, backbone: str) -> pd.DataFrame:
    """The rows of a backbone where there are any, else those of BERT-base.

    Names are compared after their last slash, so `fnlp/elasticbert-base` and a folder of that name are the same.
    """
    names = rows["backbone"].astype(str).str.rpartition("/")[2]
    own = rows[names == backbone.rpartition("/")[2]]
    return own if len(own) else rows[rows["backbone"] == BASE]


def is_other_metric(row: Row, ours: str) -> bool:
    """Whether a row is known to be of another metric than ours, which is empty if it is not known."""
    return bool(ours) and row["metric"] not in (ours, "unspecified")


def items(start: str) -> list[str]:
    """The items whose name begins like this, each once, in the order in which they are printed."""
    names = _items()["item"]
    return list(dict.fromkeys(names[names.str.startswith(start)]))


def paper_of(rows: Iterable[Row | None]) -> str:
    """The paper of the first row there is; empty without one."""
    return next((str(row["paper"]) for row in rows if row is not None), "")


def note(rows: Iterable[Row | None]) -> Iterator[str]:
    """Where printed numbers come from; nothing when there are none."""
    there = [row for row in rows if row is not None]
    papers = dict.fromkeys(str(row["paper"]) for row in there)
    if papers:
        yield (
            f"Printed: by {', '.join(map(escape, papers))}, for BERT-base under its own protocol; compare differences "
            "within a column, not columns. * marks a printed cell that is hard to read or does not add up."
        )
    if any(row.get("other", False) for row in there):
        yield OTHER_METRIC_MEANS


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


@cache
def _items() -> pd.DataFrame:
    """The rows of all tables that are no main result and not of a test set."""
    rows = pd.concat([reference_table(name) for name in reference_names()], ignore_index=True)
    return pd.DataFrame(rows[(rows["item"] != "") & (rows["split"] != "test")])
