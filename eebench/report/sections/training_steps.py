"""Optimiser steps until early stopping (layout of GAML-BERT, Table 4)."""

from __future__ import annotations

import math
from collections.abc import Iterator

from eebench.reference.keys import GAML_STEPS, Key
from eebench.report.markdown import MISSING, escape, integer, table
from eebench.report.sections.ground import Block, Ground, Spread
from eebench.report.sections.printed import Row, beside, column, note
from eebench.sections import TrainingStepsSection

ITEM = "steps until early stopping"
MEANING = (
    "Steps until training stopped, the epochs that brought no gain any more included, over all stages of a "
    "method's own run, not those of a fine-tuned model that it starts from; "
    "mean over seeds. Patience is how many such epochs it waits for; a method "
    "without it trains for all its epochs. "
    "Steps say little about time: gradient alignment, for one, goes backwards twice in each."
)


def training_steps(section: TrainingStepsSection, ground: Ground) -> Iterator[Block]:
    """A row per method, and per task its steps beside the printed ones."""
    tasks = [
        task for task in ground.tasks(section)
        if any(_steps(ground, label, task).seeds for label in section.methods)
    ]  # fmt: skip
    if not tasks:
        return
    headers = ["method", "patience"]
    body = [[escape(ground.title(label)), _patience(ground, label, tasks)] for label in section.methods]
    found: list[Row | None] = []
    for task in tasks:
        keys = (Key(GAML_STEPS, ground.method(label), ground.backbone, task, ITEM, quantity="training_steps")
                for label in section.methods)  # fmt: skip
        rows = [beside(key) for key in keys]
        header, cells = column(task, rows, places=0)
        found += rows
        headers += [f"{escape(task)}: ours", *header]
        body = [
            [*line, _cell(_steps(ground, label, task)), *more]
            for line, label, more in zip(body, section.methods, cells, strict=True)
        ]
    yield table(headers, body, "ll")
    yield MEANING
    yield from note(found)


def _steps(ground: Ground, label: str, task: str) -> Spread:
    """Steps of the finished runs of one label on one task."""
    return Spread.of(float(steps) for steps in ground.finished(label, task)["training_steps"].dropna())


def _cell(steps: Spread) -> str:
    if not steps.seeds:
        return MISSING
    return integer(round(steps.mean)) + ("" if math.isnan(steps.std) else f" ± {integer(round(steps.std))}")


def _patience(ground: Ground, label: str, tasks: list[str]) -> str:
    """The patience of a method; several where tasks have their own."""
    found = dict.fromkeys(ground.option(label, task, "patience") for task in tasks)
    return ", ".join("none" if patience is None else escape(patience) for patience in found)
