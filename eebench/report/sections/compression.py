"""How many times fewer parameters and FLOPs, and the scores left (layout of COST-EFF, Tables 3 and 5)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from eebench.reference.keys import COSTEFF_BACKBONES, COSTEFF_MAIN, Key
from eebench.report.markdown import MISSING, escape, percent_with_spread, table, times
from eebench.report.sections.ground import Block, Ground, Spread
from eebench.report.sections.printed import Row, beside, column, in_their_metric, note
from eebench.report.tables import parameters_of, size_of
from eebench.sections import CompressionSection

MEANING = (
    "Parameter reduction: parameters of the full model (embeddings included) divided by the method's. FLOPs reduction: "
    "the speed-up in FLOPs at the point shown, a static method's only one, else the operating point or the one nearest "
    "to the speed-up that the section names. Both are means over the tasks shown. Size: the file of the weights, in "
    "10^6 bytes, a range where tasks differ."
)
Points = dict[str, list["pd.Series[Any] | None"]]


def compression(section: CompressionSection, ground: Ground) -> Iterator[Block]:
    """A row per method: its reductions and its score on each task, beside the printed ones."""
    tasks = ground.tasks(section)
    asked = {task: [_printed(ground, label, task) for label in section.methods] for task in tasks}
    read = {task: in_their_metric(ground, task, rows) for task, rows in asked.items()}
    points = {label: [read[task][0].nearest(label, task, section.speedups.get(label)) for task in tasks]
              for label in section.methods}  # fmt: skip
    points = {label: row for label, row in points.items() if any(point is not None for point in row)}
    if not points:
        return
    theirs = {label: [read[task][1][place] for task in tasks]
              for place, label in enumerate(section.methods) if label in points}  # fmt: skip
    found = [row for rows in theirs.values() for row in rows]
    headers, body = _reductions(ground, tasks, points, theirs)
    for index, task in enumerate(tasks):
        words = read[task][2]
        header, more = column(words, [rows[index] for rows in theirs.values()])
        headers += [escape(words), *header]
        body = [
            [*line, _score(row[index]), *printed]
            for line, row, printed in zip(body, points.values(), more, strict=True)
        ]
    yield table(headers, body)
    yield MEANING
    yield from note(found)


def _printed(ground: Ground, label: str, task: str) -> Row | None:
    """The row of our own checkpoint in the appendix, else in the main table."""
    name, backbone = ground.origin(label)
    appendix = beside(Key(COSTEFF_BACKBONES, name, backbone, task), own_only=True)
    if appendix is not None:
        return appendix
    return beside(Key(COSTEFF_MAIN, name, backbone, task), own_only=backbone != ground.backbone)


def _reductions(
    ground: Ground, tasks: list[str], points: Points, theirs: dict[str, list[Row | None]]
) -> tuple[list[str], list[list[str]]]:
    """The columns before the scores."""
    firsts = {label: next((row for row in rows if row is not None), None) for label, rows in theirs.items()}
    printed = ["printed"] if any(row is not None for row in firsts.values()) else []
    headers = ["method", "params", "size (MB)", "params reduction", *printed, "FLOPs reduction", *printed]
    body = []
    for label, row in points.items():
        first = firsts[label]
        params = MISSING if first is None else escape(first["params"]) or MISSING
        flops = MISSING if first is None or pd.isna(first["speedup"]) else f"{float(first['speedup']):.1f}x"
        runs = pd.concat([ground.finished(label, task) for task in tasks])
        speedups = Spread.of(float(point["speedup_flops"]) for point in row if point is not None)
        body.append([
            escape(ground.title(label)), parameters_of(runs), size_of(runs), times(_fewer(ground, label, tasks)),
            *([params] if printed else []), times(speedups.mean), *([flops] if printed else []),
        ])  # fmt: skip
    return headers, body


def _fewer(ground: Ground, label: str, tasks: list[str]) -> float:
    """How many times fewer parameters than the full model, the mean over tasks that have both; else NaN."""
    ratios = []
    for task in tasks:
        full = ground.full(task)
        ours = ground.finished(label, task)["parameters"].dropna()
        whole = ground.finished(full, task)["parameters"].dropna() if full is not None else ours.iloc[:0]
        if len(ours) and len(whole):
            ratios.append(float(whole.mean()) / float(ours.mean()))
    return Spread.of(ratios).mean


def _score(point: pd.Series[Any] | None) -> str:
    return MISSING if point is None else percent_with_spread(point["score_mean"], point["score_std"])
