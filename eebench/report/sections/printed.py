"""What the papers printed for ablations, pilots and other items that are no main result."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache

import pandas as pd

from eebench.reference import reference_names, reference_table
from eebench.report.markdown import MISSING, escape

Row = pd.Series


def printed(task: str, method: str, item: str) -> Row | None:
    """The row that a paper printed for an item (``alpha=0.3``) of a method on a task; None if there is none."""
    rows = _items()
    rows = rows[(rows["task"] == task) & (rows["method"] == method) & (rows["item"] == item)]
    return rows.iloc[0] if len(rows) else None


def items(start: str) -> list[str]:
    """The items whose name begins like this, each once, in the order in which they are printed."""
    names = _items()["item"]
    return list(dict.fromkeys(names[names.str.startswith(start)]))


def paper_of(rows: Iterable[Row | None]) -> str:
    """The paper of the first row there is; empty without one."""
    return next((str(row["paper"]) for row in rows if row is not None), "")


def note(rows: Iterable[Row | None]) -> Iterator[str]:
    """Where printed numbers come from; nothing when there are none."""
    papers = dict.fromkeys(str(row["paper"]) for row in rows if row is not None)
    if papers:
        yield (
            f"Printed: by {', '.join(map(escape, papers))}, for BERT-base under its own protocol; compare differences "
            "within a column, not columns. * marks a printed cell that is hard to read or does not add up."
        )


def column(title: str, rows: list[Row | None], places: int = 1) -> tuple[list[str], list[list[str]]]:
    """A column of printed numbers: its header and one list per row, both empty when no paper has a number here."""
    if not paper_of(rows):
        return [], [[] for _ in rows]
    return [f"{escape(title)}: printed"], [[cell(row, places)] for row in rows]


def cell(row: Row | None, places: int = 1) -> str:
    """A printed number."""
    if row is None or pd.isna(row["score"]):
        return MISSING
    return f"{float(row['score']):,.{places}f}{'*' if row['doubtful'] else ''}"


@cache
def _items() -> pd.DataFrame:
    """The rows of all tables that are no main result and not of a test set."""
    rows = pd.concat([reference_table(name) for name in reference_names()], ignore_index=True)
    return pd.DataFrame(rows[(rows["item"] != "") & (rows["split"] != "test")])
