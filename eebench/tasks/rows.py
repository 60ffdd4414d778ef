"""From fields as read to checked splits: label texts become classes, white space goes, sizes are compared."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from eebench.errors import DataError
from eebench.tasks.specs import CATALOGUE, TaskSpec
from eebench.tasks.splits import Labels, Split

HTML_BREAKS = re.compile(r"(?:\s*<br\s*/?>\s*)+", re.IGNORECASE)


class Row(NamedTuple):
    """One example as read; `line` is its 1-based line in the file, or its row in a data set."""

    line: int
    texts: tuple[str, ...]
    label: str


def read_text(path: Path) -> str:
    """A whole file as text, without byte-order mark; DataError when it is missing or not UTF-8."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}; check the path.") from error
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path}:{line}: not UTF-8 (byte 0x{raw[error.start]:02x}); "
            f"convert it, for example `iconv -f latin1 -t utf-8`."
        ) from error


def tab_separated(path: Path) -> list[tuple[int, list[str]]]:
    """(line number, fields) of every line that is not empty; quotes mean nothing, a trailing CR is dropped.

    Lines end at LF only: texts may hold other characters that Python's `splitlines` breaks at.
    """
    lines = ((i, line.removesuffix("\r")) for i, line in enumerate(read_text(path).split("\n"), start=1))
    return [(i, line.split("\t")) for i, line in lines if line]


def find_column(header: Sequence[str], names: Sequence[str], place: str) -> int:
    """The place in `header` of the first of `names` it has; DataError shows what it has instead."""
    for name in names:
        if name in header:
            return header.index(name)
    wanted = " or ".join(f"'{name}'" for name in names)
    raise DataError(f"{place}: no column {wanted}; the header has {', '.join(header)}. Rename the column.")


def accepted_labels(spec: TaskSpec, digits: bool = True) -> dict[str, int]:
    """Label texts and their classes: names, aliases, and class numbers unless names are numbers."""
    accepted = {name: index for index, name in enumerate(spec.labels)}
    accepted |= {alias: spec.labels.index(name) for alias, name in spec.label_aliases.items()}
    if digits and not any(name.isdecimal() for name in spec.labels):
        accepted |= {str(index): index for index in range(len(spec.labels))}
    return accepted


def build_split(
    spec: TaskSpec, rows: Iterable[Row], place: str, accepted: Mapping[str, int] | None = None
) -> Split:
    """Checked rows of one file or data set called `place`; DataError names the line of the first bad row."""
    kept = list(rows)
    if not kept:
        raise DataError(
            f"{place}: no rows; expected examples of {spec.name}. Download or export the file again."
        )
    texts = [tuple(_clean(text, spec.html_breaks) for text in row.texts) for row in kept]
    for row, cleaned in zip(kept, texts, strict=True):
        if not any(cleaned):
            raise DataError(f"{place}:{row.line}: the text is empty; fill it in or remove the row.")
    return Split(texts, _labels(spec, kept, place, accepted), np.arange(len(kept), dtype=np.int64))


def _clean(text: str, html_breaks: bool) -> str:
    """`text` without surrounding white space, so that it is the same from every source."""
    return (HTML_BREAKS.sub(" ", text) if html_breaks else text).strip()


def _labels(spec: TaskSpec, rows: Sequence[Row], place: str, accepted: Mapping[str, int] | None) -> Labels:
    if spec.is_regression:
        return np.array([_score(spec, row, place) for row in rows], dtype=np.float32)
    classes = accepted_labels(spec) if accepted is None else accepted
    return np.array([_class(classes, row, place) for row in rows], dtype=np.int64)


def _class(classes: Mapping[str, int], row: Row, place: str) -> int:
    label = row.label.strip()
    if label not in classes:
        raise DataError(
            f"{place}:{row.line}: unknown label '{label}'; expected one of {', '.join(classes)}. "
            f"Correct the row, or check that the file belongs to this task."
        )
    return classes[label]


def _score(spec: TaskSpec, row: Row, place: str) -> float:
    low, high = spec.label_range or (-math.inf, math.inf)
    try:
        score = float(row.label)
    except ValueError:
        score = math.nan
    if math.isfinite(score) and low <= score <= high:
        return score
    bounds = f" from {low:g} to {high:g}" if spec.label_range else ""
    raise DataError(
        f"{place}:{row.line}: unknown score '{row.label}'; expected a number{bounds}. Correct the row."
    )


def check_size(spec: TaskSpec, split: str, found: int, place: str) -> None:
    """DataError unless `found` rows are what the task is known to have; silent for unknown sizes."""
    expected = spec.sizes.get(split)
    if expected is None or abs(found - expected) <= spec.size_tolerance:
        return
    cause = _cause(spec, split, found, expected)
    raise DataError(f"{place}: {spec.name} {split} has {found:,} rows, expected {expected:,}; {cause}.")


def _cause(spec: TaskSpec, split: str, found: int, expected: int) -> str:
    for other in CATALOGUE.values():
        if other.name != spec.name and other.sizes.get(split) == found:
            return f"this is the size of {other.name}: point --data-dir at the files of {spec.name}"
    if found > expected:
        return "the file holds more than this split (merged or doubled): get the official files"
    return (
        "the copy is cut, re-split (part of train moved elsewhere), or was saved again by a program "
        "that honours quotes and so joined lines: get the official files"
    )
