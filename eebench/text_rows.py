"""Texts to answer, read as a stream: lines, or columns of a csv or tsv. A row that is wrong is marked, not the end."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from eebench.errors import DataError, UserError
from eebench.tasks.rows import find_column

STDIN = "-"
LONGEST_FIELD = 1 << 24
"""Characters of one csv field: a quote that is never closed must not read the rest of the file into memory."""


Record = list[str] | csv.Error
"""The fields of a record, or why it cannot be read."""


@dataclass(frozen=True)
class TextRow:
    """One row of the input, the `number`-th (from 1); `error` says why it has no texts that can be answered.

    `replaced` tells of bytes that were no UTF-8, with U+FFFD in their place.
    """

    number: int
    texts: tuple[str, ...]
    error: str = ""
    replaced: bool = False


@dataclass(frozen=True)
class TextSource:
    """Where texts come from: a path or "-", and the columns of a table; without columns each line is a text."""

    path: str
    columns: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.columns) > 2:
            raise UserError(f"{len(self.columns)} text columns; name one, or two for pairs.")
        if not self.columns and Path(self.path).suffix in (".csv", ".tsv"):
            raise UserError(
                f"{self.path} is a table; say which column has the texts, for example --text sentence."
            )

    @property
    def texts_per_row(self) -> int:
        """One, or two for pairs."""
        return max(1, len(self.columns))

    @contextmanager
    def rows(self) -> Iterator[Iterator[TextRow]]:
        """The rows, read as they are asked for; DataError when the file or its header cannot be read."""
        if self.path == STDIN:
            yield self._parsed(sys.stdin.buffer)
            return
        with opened(self.path) as stream:
            yield self._parsed(stream)

    def _parsed(self, stream: BinaryIO) -> Iterator[TextRow]:
        lines = Lines(stream)
        if not self.columns:
            return (text_row(number, (line,), lines.noticed()) for number, line in enumerate(lines, start=1))
        return self._table(lines)

    def _table(self, lines: Lines) -> Iterator[TextRow]:
        tabs = Path(self.path).suffix == ".tsv"
        records = tab_separated(lines) if tabs else comma_separated(lines)
        header = next(records, [])
        if isinstance(header, csv.Error):
            raise DataError(f"{self.path}:1: {header}; check the quotes of the header.")
        lines.noticed()
        places = [find_column(header, [name], f"{self.path}:1") for name in self.columns]
        return table_rows(records, places, len(header), lines)


def table_rows(
    records: Iterator[Record], places: Sequence[int], width: int, lines: Lines
) -> Iterator[TextRow]:
    """The records of a table behind its header of `width` fields; texts stand at `places`."""
    for number, fields in enumerate(records, start=1):
        if isinstance(fields, csv.Error):
            yield TextRow(number, (), str(fields), lines.noticed())
        elif len(fields) == width:
            yield text_row(number, tuple(fields[place] for place in places), lines.noticed())
        else:
            problem = f"{len(fields)} fields, expected {width} as in the header"
            yield TextRow(number, (), problem, lines.noticed())


def opened(path: str) -> BinaryIO:
    """The file, to be read; DataError when it cannot be."""
    try:
        return Path(path).open("rb")
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}; check the path.") from error


def text_row(number: int, texts: tuple[str, ...], replaced: bool) -> TextRow:
    """A row of texts; one that is all white space is an error, an empty half of a pair is not."""
    stripped = tuple(text.strip() for text in texts)
    return TextRow(number, stripped, "" if any(stripped) else "the text is empty", replaced)


def rows_of(texts: Iterable[str | Sequence[str]]) -> Iterator[TextRow]:
    """Texts in memory, or pairs of them, as rows."""
    for number, text in enumerate(texts, start=1):
        yield text_row(number, (text,) if isinstance(text, str) else tuple(text), False)


def comma_separated(lines: Iterable[str]) -> Iterator[Record]:
    """Fields of every record that is not empty; behind one that cannot be read, reading goes on at the next line."""
    reader = csv.reader(lines, strict=True)
    while True:
        first = reader.line_num + 1
        # The limit belongs to the whole process: it is ours only while a record is read.
        before = csv.field_size_limit(LONGEST_FIELD)
        try:
            record: Record | None = next(reader, None)
        except csv.Error as error:
            last = reader.line_num
            where = f"line {first}" if first == last else f"lines {first} to {last}"
            record = csv.Error(f"{where}: {error}; check the quotes")
        finally:
            csv.field_size_limit(before)
        if record is None:
            return
        if record:
            yield record


def tab_separated(lines: Iterable[str]) -> Iterator[Record]:
    """Fields of every line that is not empty; quotes mean nothing."""
    stripped = (line.rstrip("\r\n") for line in lines)
    return (line.split("\t") for line in stripped if line)


class Lines:
    """Lines of a byte stream as text, ends kept; bytes that are no UTF-8 are replaced and `noticed`."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self._replaced, self._first = stream, False, True

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        raw = self._stream.readline()
        if not raw:
            raise StopIteration
        if self._first:
            raw, self._first = raw.removeprefix(b"\xef\xbb\xbf"), False
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError:
            self._replaced = True
            return raw.decode("utf-8", errors="replace")

    def noticed(self) -> bool:
        """Whether bytes were replaced since this was last asked."""
        replaced, self._replaced = self._replaced, False
        return replaced
