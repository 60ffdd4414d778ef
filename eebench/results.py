"""The committed text results of a suite, ``results/<suite>/``, made to be read as a diff.

    points.csv       score and cost of every method, rule and setting
    exits.csv        score of every exit over the samples that have an answer there; how many have none
    summary.csv      one line per curve: speed-up within a point, score at 2x, area
    runs.csv         status of every cell, failures with their reason; configurations a search tried; mean over exits;
                     precision of training; whether the model learned more than one answer for all rows
    costs.csv        parameters and FLOPs per sample of every component
    histograms.csv   quantities of every training step or sample, counted in bins; only where there is one
    checks.csv       how often the alignment rule's comparison was made and fired; only where it is swept
    simple.csv       points on the shorter half of dev; only for a suite with a section about it
    layers.csv       size of each layer, FLOPs of it, its exit and its gate; only for methods of a section about it
    provenance.json  what produced them

The same rows give the same bytes: fixed columns, fixed rounding, fixed order of rows, no date, no host. Names
keep the order in which the caller first mentions them (the suite's own, which an alphabet would scramble);
settings and exits sort by their numbers. A missing number is an empty cell.
"""

from __future__ import annotations

import contextlib
import csv
import json
import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from eebench.errors import DataError, StorageError


@dataclass(frozen=True)
class Column:
    """A column of a result file: its name, what its cells are, and what it does to the order of rows.

    `places` is the number of decimals, 0 for integers and None for text. `order` is "given" (first
    appearance), "natural" (by the numbers inside the text), "number", "decimal" (by size, infinite ones too), or ""
    for a column outside the key. `absent` is what every cell of a column means that a folder written before there
    was one does not have, NaN for a missing number, "" for a text that is not known.
    """

    name: str
    places: int | None = None
    order: str = ""
    absent: float | str | None = None


def _given(*names: str) -> tuple[Column, ...]:
    """Text columns of a key, kept in the order of first appearance."""
    return tuple(Column(name, order="given") for name in names)


_SCORES = (Column("score_mean", 4), Column("score_std", 4), Column("seeds", 0))
_CELL = _given("task", "backbone", "method")

SCHEMAS: Mapping[str, tuple[Column, ...]] = {
    "points": (
        *_CELL,
        *_given("rule"),
        Column("setting", order="natural"),
        *_given("split", "metric"),
        *_SCORES,
        Column("mean_exit", 3),
        Column("speedup_layers", 3),
        Column("flops_per_sample", 0),
        Column("speedup_flops", 3),
        *_given("convention", "head", "pooling"),
    ),
    "exits": (
        *_CELL,
        Column("exit", 0, order="number"),
        *_given("split", "metric"),
        *_SCORES,
        *_given("head", "pooling"),
        Column("unanswered", 1, absent=math.nan),
    ),
    "summary": (
        *_CELL,
        *_given("rule", "metric"),
        Column("full_score", 4),
        Column("speedup_at_1pt", 3),
        Column("score_at_2x", 4),
        Column("auc", 4),
        Column("seeds", 0),
        Column("setting_at_1pt", absent=""),
        Column("setting_at_2x", absent=""),
    ),
    "runs": (
        *_CELL,
        Column("seed", 0, order="number"),
        Column("status"),
        Column("reason"),
        Column("parameters", 0),
        Column("training_steps", 0),
        *_given("head", "pooling"),
        Column("configurations", 0, absent=1),
        Column("exit_mean", 4, absent=math.nan),
        Column("model_bytes", 0, absent=math.nan),
        Column("precision", absent=""),
        Column("learned", absent=""),
    ),
    "costs": (
        *_given("backbone", "component"),
        Column("parameters", 0),
        Column("flops", 0),
        *_given("convention"),
    ),
    "histograms": (
        *_CELL,
        *_given("quantity"),
        Column("low", 2, order="decimal"),
        Column("high", 2),
        Column("count", 0),
    ),
    "checks": (
        *_CELL,
        *_given("split", "rule"),
        Column("theta", order="natural"),
        Column("checks", 0),
        Column("fired", 0),
    ),
    "simple": (
        *_CELL,
        *_given("rule"),
        Column("setting", order="natural"),
        *_given("split", "metric"),
        *_SCORES,
        Column("mean_exit", 3),
        Column("flops_per_sample", 0),
        Column("speedup_flops", 3),
    ),
    "layers": (
        *_given("backbone", "method"),
        Column("layer", 0, order="number"),
        *(Column(name, 0) for name in ("width", "heads", "head_width", "ffn_width")),
        *(Column(name, 0) for name in ("layer_flops", "exit_flops", "gate_flops")),
        *_given("convention"),
    ),
}
"""The columns of ``<table>.csv``, in order."""

OPTIONAL = frozenset({"histograms", "checks", "simple", "layers"})
"""The tables that have no file when they have no rows."""


@dataclass(frozen=True)
class Results:
    """A results folder in memory: text columns are str, decimals float64 (NaN if missing), integers Int64."""

    folder: Path
    points: pd.DataFrame
    exits: pd.DataFrame
    summary: pd.DataFrame
    runs: pd.DataFrame
    costs: pd.DataFrame
    histograms: pd.DataFrame
    checks: pd.DataFrame
    simple: pd.DataFrame
    layers: pd.DataFrame
    provenance: dict[str, Any]


def write_results(folder: Path, tables: Mapping[str, pd.DataFrame], provenance: Mapping[str, Any]) -> None:
    """Write `tables` (keys of `SCHEMAS`) and `provenance` into `folder`; only files whose bytes change.

    A table that is not given is written with its header alone, one of `OPTIONAL` not at all. Columns
    outside the schema are left out.

    Raises DataError when a table or column is not what `SCHEMAS` says, or when two rows have one key (after
    rounding, say), because a reader could not tell which of them counts; StorageError when the disk refuses.
    """
    unknown = sorted(set(tables) - set(SCHEMAS))
    if unknown:
        raise DataError(f"no result file is named '{unknown[0]}'; the tables are {', '.join(SCHEMAS)}")
    rowless = {name for name in OPTIONAL if name not in tables or tables[name].empty}
    contents = {f"{name}.csv": table_text(name, tables.get(name)) for name in SCHEMAS if name not in rowless}
    contents["provenance.json"] = json_text(provenance)
    for name, text in contents.items():
        write_if_changed(folder / name, text.encode())
    for name in sorted(rowless):
        _remove(folder / f"{name}.csv")


def read_results(folder: Path) -> Results:
    """Read a results folder back; columns that follow after the known ones are kept as text.

    Raises DataError, with the command that writes the folder, when a file or column is missing or malformed.
    """
    tables = {name: _read_table(folder / f"{name}.csv", SCHEMAS[name], name in OPTIONAL) for name in SCHEMAS}
    return Results(folder, provenance=_read_provenance(folder / "provenance.json"), **tables)


def table_text(name: str, table: pd.DataFrame | None) -> str:
    """The text of ``<name>.csv``: rounded, sorted, one line per row."""
    schema = SCHEMAS[name]
    if table is None:
        table = pd.DataFrame(columns=[column.name for column in schema])
    table = _with_absent(table, schema)
    missing = [column.name for column in schema if column.name not in table]
    if missing:
        raise DataError(f"the rows for {name}.csv have no column {', '.join(map(repr, missing))}")
    cells = pd.DataFrame({column.name: _cells(table[column.name], column.places) for column in schema})
    keys = [column for column in schema if column.order]
    _refuse_twins(name, cells, [column.name for column in keys])
    ordered = cells.sort_values([column.name for column in keys], key=_ranker(keys))
    return str(ordered.to_csv(index=False, lineterminator="\n"))


def json_text(content: Mapping[str, Any]) -> str:
    """Canonical JSON: sorted keys, two spaces, a newline at the end; NaN is refused with ValueError."""
    return json.dumps(content, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def write_if_changed(path: Path, content: bytes) -> bool:
    """Write `content` to `path` in one step unless it is there already; True if the file changed.

    A reader sees the old bytes or the new ones, never a half. Raises StorageError when the disk refuses.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        if path.is_file() and path.read_bytes() == content:
            return False
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise StorageError(f"cannot write {path}: {reason}; free some space or check its rights") from error
    finally:
        # Gone already after a success; one left behind would end up in somebody's commit.
        with contextlib.suppress(OSError):
            temporary.unlink()
    return True


def _remove(path: Path) -> None:
    """Removes a file of an earlier writing, if there is one."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(f"cannot remove the outdated {path}: {error.strerror}") from error


def natural_key(text: str) -> tuple[tuple[str, float], ...]:
    """A sort key under which ``S=0.05`` comes before ``S=0.1`` and ``exit=2`` before ``exit=10``."""
    parts = re.split(r"(-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)", text)
    # The split alternates text, number, text, ...; each number is paired with the text before it.
    numbers = [float(part) for part in parts[1::2]]
    return tuple(zip(parts[0::2], [*numbers, -math.inf], strict=True))


def _with_absent(table: pd.DataFrame, schema: Sequence[Column]) -> pd.DataFrame:
    """The table with the columns that may be absent."""
    meant = {column.name: column.absent for column in schema if column.absent is not None}
    return table.assign(**{name: cell for name, cell in meant.items() if name not in table})


def _cells(values: pd.Series[Any], places: int | None) -> list[str]:
    """The cells of a column as they will stand in the file."""
    missing = values.isna()
    write: Callable[[Any], str] = _one_line if places is None else lambda value: _rounded(value, places)
    return ["" if absent else write(value) for value, absent in zip(values, missing, strict=True)]


def _one_line(value: Any) -> str:
    """Text with every run of control characters as one space: one row is one line, in any editor."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+", " ", str(value))


def _rounded(value: Any, places: int) -> str:
    """A number in fixed notation; an integer stays exact at any size, and zero has no sign."""
    if places == 0:
        return str(round(value))
    text = f"{value:.{places}f}"
    return text.removeprefix("-") if float(text) == 0.0 else text


def _ranker(keys: Sequence[Column]) -> Callable[[pd.Series[Any]], pd.Series[Any]]:
    """The `key` of `sort_values`: each column of cells as its ranks in the column's own order."""
    orders = {column.name: column.order for column in keys}

    def ranks(cells: pd.Series[Any]) -> pd.Series[Any]:
        distinct = list(dict.fromkeys(cells))
        if orders[str(cells.name)] == "natural":
            # Two spellings of one number ("0.1", "0.10") need an order too.
            distinct.sort(key=lambda cell: (natural_key(cell), cell))
        elif orders[str(cells.name)] == "number":
            distinct.sort(key=lambda cell: int(cell) if cell else -1)
        elif orders[str(cells.name)] == "decimal":
            distinct.sort(key=lambda cell: float(cell) if cell else -math.inf)
        places = {cell: place for place, cell in enumerate(distinct)}
        return pd.Series([places[cell] for cell in cells], index=cells.index, dtype="int64")

    return ranks


def _refuse_twins(name: str, cells: pd.DataFrame, keys: list[str]) -> None:
    """DataError if two rows have the same key."""
    twins = cells[cells.duplicated(keys)]
    if len(twins):
        key = ", ".join(f"{column}={twins.iloc[0][column]}" for column in keys)
        raise DataError(f"two rows for {name}.csv have the same key: {key}")


def _read_table(path: Path, schema: Sequence[Column], optional: bool) -> pd.DataFrame:
    """One CSV file with its columns in their types; an optional one that is not there has no rows."""
    gone = optional and not path.exists()
    cells = pd.DataFrame(columns=[column.name for column in schema], dtype=str) if gone else _read_cells(path)
    table = _with_absent(cells, schema)
    missing = [column.name for column in schema if column.name not in table]
    if missing:
        raise DataError(f"{path} has no column {', '.join(map(repr, missing))}; {_way_out(path)}")
    for column in schema:
        if column.places is not None:
            table[column.name] = _numbers(path, table[column.name], column)
    return table


def _read_cells(path: Path) -> pd.DataFrame:
    """One CSV file as text; stricter than pandas, which fills short lines (a merge conflict) with NaN."""
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.reader(stream, strict=True))
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing; {_way_out(path)}") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{path} is not a CSV table ({error}); {_way_out(path)}") from error
    header, *body = rows or [[]]
    for line, row in enumerate(body, start=2):
        if len(row) != len(header):
            raise DataError(f"{path}, line {line}: {len(row)} cells, not {len(header)}; {_way_out(path)}")
    return pd.DataFrame(body, columns=header, dtype=str)


def _numbers(path: Path, cells: pd.Series[Any], column: Column) -> pd.Series[Any]:
    """Cells as numbers, each read exactly as Python reads it; an empty cell is a missing number."""
    numbers: list[Any] = []
    for line, cell in enumerate(cells, start=2):
        try:
            missing = cell == "" or pd.isna(cell)
            numbers.append(None if missing else int(cell) if column.places == 0 else float(cell))
        except ValueError as error:
            place = f"{path}, line {line}, column '{column.name}'"
            raise DataError(f"{place}: {cell!r} is not a number; {_way_out(path)}") from error
    return pd.Series(numbers, index=cells.index, dtype="Int64" if column.places == 0 else "float64")


def _read_provenance(path: Path) -> dict[str, Any]:
    """The provenance dictionary."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing; {_way_out(path)}") from error
    except ValueError as error:
        raise DataError(f"{path} is not JSON ({error}); {_way_out(path)}") from error
    if not isinstance(content, dict):
        raise DataError(f"{path} is not a JSON object; {_way_out(path)}")
    return content


def _way_out(path: Path) -> str:
    """What to type next when a result file is not as it should be."""
    return f"`eebench sweep --suite {path.parent.name}` writes it"
