"""The table of training cost: how long a step of each method's stages takes, beside plain fine-tuning's."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from eebench.report.markdown import decimal, escape, plain, table
from eebench.report.selection import mapping
from eebench.steptimes import STEP_TIMES, StepTime

MEANING = (
    "One optimiser step (forward, backward, update) on the same batches for every stage, timed in turns: *ratio* is "
    "the median over rounds of its time over plain fine-tuning's in the same round, and what a method costs to train "
    "is that times its steps. Stages are told in the order they train, those of another run that a method starts "
    "from with its role in front. Times belong to the device; the ratios say what carries over."
)


def steptime_section(folder: Path) -> Iterator[str]:
    """The blocks of the section, one table per task, backbone and device; none without measured times.

    Raises DataError when the file of times is malformed.
    """
    rows = STEP_TIMES.read(folder)
    titles = _titles(folder)
    for place in dict.fromkeys(row.place for row in rows):
        measured = [row for row in rows if row.place == place]
        yield f"### {escape(measured[0].backbone)}, {escape(measured[0].task)}"
        yield _step_table(measured, titles)
        yield _conditions(measured)
    if rows:
        yield MEANING


def _step_table(rows: Sequence[StepTime], titles: Mapping[str, str]) -> str:
    """One line per stage."""
    lines = [
        [
            escape(titles.get(row.method, row.method)),
            escape(row.stage),
            decimal(row.step_ms, 1),
            decimal(row.ratio, 2),
        ]
        for row in rows
    ]
    return table(["method", "stage", "ms / step", "ratio"], lines, sides="llrr")


def _conditions(rows: Sequence[StepTime]) -> str:
    """What the times depend on; each combination of it once, as a part of the methods may be measured later."""
    found = dict.fromkeys((row.device, row.threads, row.precision, row.batch_size, row.steps) for row in rows)
    return "\n".join(
        f"Measured on {escape(device)}: {_counted(threads, 'thread')}, {escape(precision)}, "
        f"batches of {size}, medians of {_counted(steps, 'step')}."
        for device, threads, precision, size, steps in found
    )


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _titles(folder: Path) -> dict[str, str]:
    """How tables call the methods, by label, as far as the folder says."""
    try:
        content = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    declared = mapping(mapping(content).get("methods"))
    titles = {label: plain(mapping(about).get("title") or "") for label, about in declared.items()}
    return {label: title for label, title in titles.items() if title}
