"""Measured step times of a suite's methods, ``results/<suite>/steptime.csv``; a file with the device named.

task, backbone, method, stage    whose step; "finetuned: finetune" is a stage of the run needed as "finetuned"
step_ms                          median milliseconds of one optimiser step
ratio                            median over rounds of its time over plain fine-tuning's in the same round
steps                            steps behind the medians, warm-up not counted
batch_size, threads, precision   the same for every method of a measurement
device                           name of the processor or graphics card, never of a host
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from eebench.errors import DataError
from eebench.results import write_if_changed

FILE = "steptime.csv"
PLACES = 3


@dataclass(frozen=True)
class StepTime:
    """One row: a stage of a method on one task and backbone."""

    task: str
    backbone: str
    method: str
    stage: str
    step_ms: float
    ratio: float
    steps: int
    batch_size: int
    threads: int
    precision: str
    device: str

    @property
    def place(self) -> tuple[str, str, str]:
        """What is measured at once: task, backbone and device."""
        return self.task, self.backbone, self.device


COLUMNS = tuple(field.name for field in fields(StepTime))


def merged(old: Sequence[StepTime], new: Sequence[StepTime], whole: bool) -> list[StepTime]:
    """`old` with what was measured anew in place of it; `whole` says that `new` is all there is of its places."""
    replaced = {(row.place, "" if whole else row.method) for row in new}
    return [*(row for row in old if (row.place, "" if whole else row.method) not in replaced), *new]


def write_step_times(folder: Path, rows: Sequence[StepTime]) -> Path:
    """Writes the file, times and ratios to three decimals; returns its path. Raises StorageError."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(COLUMNS)
    for row in rows:
        cells = asdict(row)
        lines.writerow(
            f"{cell:.{PLACES}f}" if isinstance(cell, float) else " ".join(str(cell).split())
            for cell in cells.values()
        )
    write_if_changed(folder / FILE, text.getvalue().encode())
    return folder / FILE


def read_step_times(folder: Path) -> list[StepTime]:
    """The rows of the folder's file, none when there is no file; DataError when it is malformed."""
    path = folder / FILE
    if not path.exists():
        return []
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            header, *lines = list(csv.reader(stream, strict=True)) or [[]]
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{path} is not a CSV table ({error}); {_way_out(folder)}") from error
    if tuple(header) != COLUMNS:
        raise DataError(f"{path} has not the columns {', '.join(COLUMNS)}; {_way_out(folder)}")
    return [_row(path, number, line) for number, line in enumerate(lines, start=2)]


def _row(path: Path, number: int, line: Sequence[str]) -> StepTime:
    try:
        cells = dict(zip(COLUMNS, line, strict=True))
        return StepTime(
            task=cells["task"], backbone=cells["backbone"], method=cells["method"], stage=cells["stage"],
            step_ms=float(cells["step_ms"]), ratio=float(cells["ratio"]), steps=int(cells["steps"]),
            batch_size=int(cells["batch_size"]), threads=int(cells["threads"]),
            precision=cells["precision"], device=cells["device"],
        )  # fmt: skip
    except ValueError as error:
        raise DataError(f"{path}, line {number}: {error}; {_way_out(path.parent)}") from error


def _way_out(folder: Path) -> str:
    """What to type next."""
    return f"remove it, and `eebench steptime --suite {folder.name}` writes it anew"
