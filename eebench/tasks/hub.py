"""Data sets from the Hugging Face hub, or from a local directory in the same form; never runs their code."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Any

from eebench.errors import DataError
from eebench.tasks.folder import expected_layout
from eebench.tasks.layouts import HubLayout
from eebench.tasks.rows import Row, accepted_labels, build_split, check_size, find_column
from eebench.tasks.specs import TaskSpec
from eebench.tasks.splits import Split, partition


def hub_splits(spec: TaskSpec, layout: HubLayout, names: Sequence[str]) -> dict[str, Split]:
    """The splits `names` of a task from the hub; DataError when out of reach or not as expected."""
    if layout.shares:
        whole = _read(spec, layout, "train")
        splits = {name: part for name, part in partition(whole, layout.shares).items() if name in names}
    else:
        splits = {name: _read(spec, layout, layout.hub_splits[name]) for name in names}
    for name, split in splits.items():
        check_size(spec, name, len(split), _place(layout, name))
    return splits


def _place(layout: HubLayout, split: str) -> str:
    return " ".join(part for part in (layout.path, layout.config, split) if part)


def _read(spec: TaskSpec, layout: HubLayout, hub_split: str) -> Split:
    place = _place(layout, hub_split)
    table = _download(spec, layout, hub_split)
    columns = [*layout.text_columns, layout.label_column]
    for column in columns:
        find_column(table.column_names, [column], place)
    return build_split(spec, _rows(table, layout, set(accepted_labels(spec))), place)


def _download(spec: TaskSpec, layout: HubLayout, hub_split: str) -> Any:
    # Heavy, and needed by no other source.
    import datasets

    if not sys.stderr.isatty():
        datasets.disable_progress_bars()
    try:
        return datasets.load_dataset(layout.path, layout.config, split=hub_split)
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        raise DataError(_unreachable(spec, layout, hub_split, error)) from error


def _unreachable(spec: TaskSpec, layout: HubLayout, hub_split: str, error: Exception) -> str:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    files = f" with {expected_layout(spec.folder)} in it" if spec.folder else ""
    return (
        f"cannot load {_place(layout, hub_split)} for task {spec.name} from the hub: {reason.rstrip('.')}. "
        f"Give a local directory{files}: --data-dir DIRECTORY, or set EEBENCH_DATA."
    )


def _rows(table: Any, layout: HubLayout, accepted: set[str]) -> Iterator[Row]:
    names = _class_names(table, layout.label_column, accepted)
    texts = zip(*(table[column] for column in layout.text_columns), strict=True)
    for row, (text, label) in enumerate(zip(texts, table[layout.label_column], strict=True)):
        if str(label) not in layout.drop_labels:
            named = names[label] if names and label in range(len(names)) else str(label)
            yield Row(row, tuple(part or "" for part in text), named)


def _class_names(table: Any, column: str, accepted: set[str]) -> list[str]:
    """The data set's own label names if all are ours: then its order of classes need not be ours."""
    names = getattr(table.features[column], "names", None) or []
    return list(names) if set(names) <= accepted else []
