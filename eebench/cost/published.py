"""The tables of papers whose cost columns are computed again from shapes, by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from eebench.cost import costeff_table, smartbert_table
from eebench.errors import UserError


@dataclass(frozen=True)
class PaperTable:
    """A table as text, names first, and its rows as a program reads them."""

    title: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    plain: tuple[dict[str, Any], ...]

    def lines(self) -> list[str]:
        """Title, caption and columns: names to the left, numbers to the right, two spaces between."""
        widths = [max(map(len, column)) for column in zip(self.columns, *self.rows, strict=True)]
        text = [
            "  ".join(
                [
                    row[0].ljust(widths[0]),
                    *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True)),
                ]
            )
            for row in (self.columns, *self.rows)
        ]
        return [self.title, self.caption, *(line.rstrip() for line in text)]


def costeff() -> PaperTable:
    """COST-EFF's Table 3."""
    return _table(costeff_table, costeff_table.costeff_rows())


def smartbert() -> PaperTable:
    """SmartBERT's Table 2 and the whole models of its Table 1."""
    return _table(smartbert_table, smartbert_table.smartbert_rows())


class _Words(Protocol):
    """What a module of a table says about it."""

    TITLE: str
    CAPTION: str
    COLUMNS: tuple[str, ...]


class _Row(Protocol):
    """A row as text and as data."""

    def cells(self) -> tuple[str, ...]: ...
    def as_dict(self) -> dict[str, Any]: ...


def _table(words: _Words, rows: Sequence[_Row]) -> PaperTable:
    texts, plain = tuple(row.cells() for row in rows), tuple(row.as_dict() for row in rows)
    return PaperTable(words.TITLE, words.CAPTION, words.COLUMNS, texts, plain)


TABLES: dict[str, Callable[[], PaperTable]] = {"costeff": costeff, "smartbert": smartbert}


def paper_table(name: str) -> PaperTable:
    """The table of the paper called `name`; UserError when there is none."""
    if name not in TABLES:
        raise UserError(f"unknown table '{name}'; choose one of: {', '.join(TABLES)}.")
    return TABLES[name]()
