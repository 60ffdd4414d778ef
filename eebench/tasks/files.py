"""Any local csv, tsv or jsonl file as a task.

task = FileTask("tickets", Path("train.csv"), Path("dev.csv"), ("subject",), "queue")
data = load_task(file_task(task))
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from eebench.errors import DataError, UserError
from eebench.tasks.layouts import FileLayout
from eebench.tasks.metrics import find_metric
from eebench.tasks.rows import (
    Row,
    accepted_labels,
    build_split,
    check_size,
    find_column,
    read_text,
    tab_separated,
)
from eebench.tasks.specs import CATALOGUE, TaskSpec
from eebench.tasks.splits import Split

# More distinct values than this in a label column are scores or texts, not classes.
MOST_CLASSES = 200

Fields = tuple[int, list[str]]


@dataclass(frozen=True)
class FileTask:
    """A task made of local files; without `labels` they are the sorted values of `label_column` in `train`.

    A correlation as `metric` (pearson, spearman, pearson_spearman) makes it a regression: labels are numbers.
    """

    name: str
    train: Path
    dev: Path
    text_columns: tuple[str, ...]
    label_column: str = "label"
    labels: tuple[str, ...] = ()
    metric: str = "accuracy"
    test: Path | None = None
    max_length: int = 128

    @property
    def layout(self) -> FileLayout:
        """Its files by split."""
        paths = {"train": Path(self.train), "dev": Path(self.dev)}
        if self.test is not None:
            paths["test"] = Path(self.test)
        return FileLayout(paths, self.text_columns, self.label_column)


def file_task(task: FileTask) -> TaskSpec:
    """The specification that `load_task` reads; UserError or DataError when the parts do not fit together."""
    if task.name in CATALOGUE:
        raise UserError(
            f"task name '{task.name}' is taken by a built-in task; choose another name for your files."
        )
    if not 1 <= len(task.text_columns) <= 2:
        raise UserError(f"task '{task.name}' has {len(task.text_columns)} text columns; name one or two.")
    metric = find_metric(task.metric)
    labels = () if metric.regression else task.labels or _infer_labels(task.layout)
    metric.check_classes(len(labels) or 1)
    return TaskSpec(
        task.name, "file", task.text_columns, labels, (task.metric,),
        files=task.layout, max_length=task.max_length, title=task.name,
    )  # fmt: skip


def file_splits(spec: TaskSpec, layout: FileLayout, names: Sequence[str]) -> dict[str, Split]:
    """The splits `names` of a task made of local files; DataError names file and line of what is wrong."""
    accepted = accepted_labels(spec, digits=False)
    splits = {}
    for name in names:
        path = layout.paths[name]
        splits[name] = build_split(spec, _rows(layout, path), str(path), accepted)
        check_size(spec, name, len(splits[name]), str(path))
    return splits


def _infer_labels(layout: FileLayout) -> tuple[str, ...]:
    path = layout.paths["train"]
    found = {row.label.strip() for row in _rows(layout, path)}
    if not 2 <= len(found) <= MOST_CLASSES:
        raise DataError(
            f"{path}: column '{layout.label_column}' has {len(found)} different values; "
            f"expected 2 to {MOST_CLASSES} classes. Name another label column, or metric 'pearson' "
            f"if the labels are numbers."
        )
    numbers = all(label.isdecimal() for label in found)
    return tuple(sorted(found, key=lambda label: (int(label) if numbers else 0, label)))


def _rows(layout: FileLayout, path: Path) -> Iterator[Row]:
    readers = {".csv": _comma_separated, ".tsv": tab_separated}
    if path.suffix == ".jsonl":
        return _object_rows(layout, path)
    if path.suffix not in readers:
        raise DataError(f"{path}: cannot tell the format from '{path.suffix}'; use .csv, .tsv or .jsonl.")
    return _table_rows(layout, path, readers[path.suffix])


def _comma_separated(path: Path) -> Iterator[Fields]:
    reader = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
    try:
        for fields in reader:
            if fields:
                yield reader.line_num, fields
    except csv.Error as error:
        raise DataError(f"{path}:{reader.line_num}: {error}; check the quotes before this line.") from error


def _table_rows(layout: FileLayout, path: Path, read: Callable[[Path], Iterable[Fields]]) -> Iterator[Row]:
    lines = iter(read(path))
    _, header = next(lines, (1, []))
    if not header:
        return
    columns = (*layout.text_columns, layout.label_column)
    *texts, label = (find_column(header, [name], f"{path}:1") for name in columns)
    for line, fields in lines:
        # A stray separator would shift the columns behind it and invent classes.
        if len(fields) != len(header):
            raise DataError(
                f"{path}:{line}: {len(fields)} fields, expected {len(header)} as in the header; "
                f"look for a missing or stray separator."
            )
        yield Row(line, tuple(fields[i] for i in texts), fields[label])


def _object_rows(layout: FileLayout, path: Path) -> Iterator[Row]:
    for line, text in enumerate(read_text(path).split("\n"), start=1):
        if not text.strip():
            continue
        try:
            value = json.loads(text)
        except json.JSONDecodeError as error:
            raise DataError(f"{path}:{line}: not JSON ({error}); write one object per line.") from error
        if not isinstance(value, dict):
            raise DataError(f"{path}:{line}: found {type(value).__name__}, expected one object per line.")
        texts = tuple(_field(value, name, f"{path}:{line}") for name in layout.text_columns)
        yield Row(line, texts, _field(value, layout.label_column, f"{path}:{line}"))


def _field(value: Mapping[str, object], name: str, place: str) -> str:
    found = value[list(value)[find_column(list(value), [name], place)]]
    if isinstance(found, bool) or not isinstance(found, str | int | float):
        raise DataError(f"{place}: '{name}' is {json.dumps(found)}; expected a text or a number.")
    return str(found)
