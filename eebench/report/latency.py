"""The section on measured time: what leaving early saves on a device, beside what it saves in FLOPs."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from eebench.latency.table import FULL, LATENCY, STOCK, WHOLE, LatencyRow, slower_than_full
from eebench.report.figures import Caption
from eebench.report.files import FigureFile, free_path
from eebench.report.latency_figure import latency_svg
from eebench.report.markdown import decimal, escape, percent, plain, table, times
from eebench.report.selection import mapping
from eebench.tasks.metrics import metric_title

MEANING = (
    "Every row and the full model were run in turns of a few samples, on the same samples in batches made alike. "
    "*Time* is the median over passes of the full model's time over this one's, at the same batch size; *FLOPs* is "
    "the speed-up in FLOPs, each sample at its real length; *efficiency* is the first over the second: how much of "
    "what is saved in FLOPs is saved in time. Latency runs from a sample's batch being made to its answer. *full* "
    "runs all layers by the code that leaves early, *stock* by the forward pass of transformers (where methods were "
    "measured one after the other, both are of the last time), *sequential* one sample at a time; *compact* drops "
    "rows that leave from their batch, *pooled* fills batches up again with rows at the same depth. Scores are of the "
    "samples measured, not of the whole split; the range is from the fastest pass to the slowest. One sample at a "
    "time, a layer's time grows more slowly than its tokens: where long texts leave first, FLOPs save more than time "
    "does. A setting that was not named is the one with the best dev score at twice the speed or more. Times belong "
    "to the device; the ratios say what carries over."
)
ALL_FASTER = (
    "Nothing measured here takes longer per sample than the full model; one answer can still wait longer."
)
HEADERS = [
    "method", "rule", "setting", "executor", "score", "mean exit", "ms / sample", "range", "p50 / p95 / p99 ms",
    "FLOPs", "time", "efficiency",
]  # fmt: skip


def latency_section(folder: Path) -> Iterator[str]:
    """The blocks of the section, per task, backbone and device; none without measured times.

    Raises DataError when the file of times is malformed.
    """
    rows = LATENCY.read(folder)
    titles = _titles(folder)
    images = {file.alt: file.image for file in latency_figures(folder)}
    for place in dict.fromkeys(row.place for row in rows):
        there = [row for row in rows if row.place == place]
        yield f"### {escape(there[0].backbone)}, {escape(there[0].task)}"
        for size in dict.fromkeys(row.batch_size for row in there):
            yield f"Batches of {size}:" if size > 1 else "One sample at a time:"
            alike = [row for row in there if row.batch_size == size]
            yield _table(alike, titles)
            yield from _beside_stock(alike)
        slower = list(slower_than_full([_named(row, titles) for row in there]))
        yield "\n".join(f"- {escape(sentence)}" for sentence in slower) or ALL_FASTER
        yield from (images[alt] for alt in _alts(there) if alt in images)
        yield _conditions(there)
    if rows:
        yield MEANING


def latency_figures(folder: Path) -> list[FigureFile]:
    """Score against time beside score against FLOPs, one figure per table and executor that has something to show."""
    rows = LATENCY.read(folder)
    titles, metrics = _titles(folder), _metrics(folder)
    files: list[FigureFile] = []
    for key in dict.fromkeys(_figure_key(row) for row in rows if row.executor not in WHOLE):
        own = [row for row in rows if _figure_key(row) == key]
        first = own[0]
        full = [row for row in rows if row.executor == FULL and _run_key(row) == _run_key(first)]
        caption = Caption(
            f"{first.task}, {first.backbone}, {first.executor}, batches of {first.batch_size}",
            metrics.get(first.task, "score"),
        )
        names = ("latency", first.task, first.backbone, first.executor, str(first.batch_size))
        path = free_path(names, (file.path for file in files))
        files.append(FigureFile(path, _alt(first), latency_svg([*full, *own], titles, caption)))
    return files


def _run_key(row: LatencyRow) -> tuple[object, ...]:
    return (*row.place, row.batch_size)


def _figure_key(row: LatencyRow) -> tuple[object, ...]:
    return (*_run_key(row), row.executor)


def _alt(row: LatencyRow) -> str:
    """What a figure shows, in words."""
    return (
        f"Score against FLOPs and time: {row.task}, {row.backbone}, {row.executor}, "
        f"batches of {row.batch_size}, {row.device}"
    )


def _alts(rows: Sequence[LatencyRow]) -> list[str]:
    return list(dict.fromkeys(_alt(row) for row in rows if row.executor not in WHOLE))


def _table(rows: Sequence[LatencyRow], titles: Mapping[str, str]) -> str:
    """One line per row of the file."""
    lines = [
        [
            escape(titles.get(row.method, row.method)), escape(row.rule), escape(row.setting), escape(row.executor),
            percent(row.score), decimal(row.mean_exit, 2), decimal(1e3 * row.seconds_per_sample, 2),
            f"{1e3 * row.seconds_low:.2f} to {1e3 * row.seconds_high:.2f}",
            " / ".join(decimal(value, 1) for value in (row.p50_ms, row.p95_ms, row.p99_ms)),
            times(row.speedup_flops), times(row.speedup_time), decimal(row.efficiency, 2),
        ]
        for row in rows
    ]  # fmt: skip
    return table(HEADERS, lines, sides="llllrrrrrrrr")


def _beside_stock(rows: Sequence[LatencyRow]) -> Iterator[str]:
    """What the speed-ups are against the full model as its library runs it, where that was measured."""
    for stock in (row for row in rows if row.executor == STOCK):
        against = [row for row in rows if row.executor not in WHOLE]
        if against:
            gains = [row.speedup_time / stock.speedup_time for row in against]
            shares = [gain / row.speedup_flops for gain, row in zip(gains, against, strict=True)]
            yield (
                f"Against *stock*, the full model by the forward pass of transformers, speed-ups in time are "
                f"{_between(gains, times)}, efficiencies {_between(shares, lambda share: decimal(share, 2))}."
            )


def _between(values: Sequence[float], written: Callable[[float], str]) -> str:
    low, high = written(min(values)), written(max(values))
    return low if low == high else f"{low} to {high}"


def _named(row: LatencyRow, titles: Mapping[str, str]) -> LatencyRow:
    """The row with its method called as tables call it."""
    return replace(row, method=titles.get(row.method, row.method))


def _conditions(rows: Sequence[LatencyRow]) -> str:
    """What the times depend on; each combination of it once, as a part of the methods may be measured later."""
    found = dict.fromkeys(
        (row.device, row.threads, row.precision, row.samples, row.repeats, row.convention) for row in rows
    )
    return "\n".join(
        f"Measured on {escape(device)}: {_counted(threads, 'thread')}, {escape(precision)}, "
        f"{_counted(samples, 'sample')}, {_counted(repeats, 'pass', 'passes')}; FLOPs under {escape(convention)}."
        for device, threads, precision, samples, repeats, convention in found
    )


def _counted(number: int, noun: str, several: str = "") -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {several or noun + 's'}"


def _provenance(folder: Path) -> Mapping[str, object]:
    """What the folder says of its methods, as far as it does."""
    try:
        return mapping(json.loads((folder / "provenance.json").read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError):
        return {}


def _titles(folder: Path) -> dict[str, str]:
    """How tables call the methods, by label."""
    declared = mapping(_provenance(folder).get("methods"))
    titles = {label: plain(mapping(about).get("title") or "") for label, about in declared.items()}
    return {label: title for label, title in titles.items() if title}


def _metrics(folder: Path) -> dict[str, str]:
    """The metric of each task, from the folder's points."""
    path = folder / "points.csv"
    if not path.exists():
        return {}
    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    # The headline comes first.
    return {row.get("task") or "": metric_title(row.get("metric") or "score") for row in reversed(rows)}
