"""Files of measured times in a results folder: the only ones that name a device and change from run to run."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from eebench.errors import DataError
from eebench.results import write_if_changed

KINDS = {"str": str, "int": int, "float": float}


class Timing(Protocol):
    """A row: a dataclass of texts, integers and floats."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def subject(self) -> tuple[str, int]:
        """What a part of a measurement replaces: the rows of a method at a batch size."""
        ...

    @property
    def place(self) -> tuple[str, str, str]:
        """What is measured at once: task, backbone and device."""
        ...


Row = TypeVar("Row", bound=Timing)


@dataclass(frozen=True)
class TimingFile(Generic[Row]):
    """`name` in a results folder, a line per `row`; `command` writes it, `places` are decimals other than three."""

    name: str
    row: type[Row]
    command: str
    places: Mapping[str, int] = field(default_factory=dict)

    @property
    def columns(self) -> tuple[str, ...]:
        """The header."""
        return tuple(column.name for column in fields(self.row))

    def write(self, folder: Path, rows: Sequence[Row]) -> Path:
        """Writes the file with fixed decimals; returns its path. Raises StorageError."""
        text = io.StringIO()
        lines = csv.writer(text, lineterminator="\n")
        lines.writerow(self.columns)
        lines.writerows([self._cell(name, getattr(row, name)) for name in self.columns] for row in rows)
        write_if_changed(folder / self.name, text.getvalue().encode())
        return folder / self.name

    def read(self, folder: Path) -> list[Row]:
        """The rows of the folder's file, none when there is no file; DataError when it is malformed."""
        path = folder / self.name
        if not path.exists():
            return []
        try:
            with path.open(encoding="utf-8", newline="") as stream:
                header, *lines = list(csv.reader(stream, strict=True)) or [[]]
        except (csv.Error, UnicodeDecodeError) as error:
            raise DataError(f"{path} is not a CSV table ({error}); {self._way_out(folder)}") from error
        if tuple(header) != self.columns:
            raise DataError(f"{path} has not the columns {', '.join(self.columns)}; {self._way_out(folder)}")
        return [self._row(path, number, line) for number, line in enumerate(lines, start=2)]

    def _cell(self, name: str, value: Any) -> str:
        return (
            f"{value:.{self.places.get(name, 3)}f}"
            if isinstance(value, float)
            else " ".join(str(value).split())
        )

    def _row(self, path: Path, number: int, line: Sequence[str]) -> Row:
        try:
            cells = zip(fields(self.row), line, strict=True)
            return self.row(**{column.name: KINDS[str(column.type)](cell) for column, cell in cells})
        except ValueError as error:
            raise DataError(f"{path}, line {number}: {error}; {self._way_out(path.parent)}") from error

    def _way_out(self, folder: Path) -> str:
        """What to type next."""
        return f"remove it, and `eebench {self.command} --suite {folder.name}` writes it anew"


def merged(old: Sequence[Row], new: Sequence[Row], whole: bool) -> list[Row]:
    """`old` with what was measured anew in place of it; `whole` says that `new` is all there is of its places."""
    if whole:
        places = {row.place for row in new}
        return [*(row for row in old if row.place not in places), *new]
    replaced = {(row.place, row.subject) for row in new}
    return [*(row for row in old if (row.place, row.subject) not in replaced), *new]
