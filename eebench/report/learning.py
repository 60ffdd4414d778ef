"""Which runs learned no more than one answer for every sample: said once on the page, and marked in its tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pandas as pd

from eebench.report.markdown import escape, percent, table
from eebench.report.selection import mapping
from eebench.results import Results

UNLEARNED = "‡"
NOTE = f"{UNLEARNED} no better than one answer for every sample."
CELL = ["task", "backbone", "method"]
CORRELATIONS = ("pearson", "spearman", "pearson_spearman")
ROUNDING = 5e-5
"""Half of the last digit that scores are stored with."""


def judged(results: Results) -> Results:
    """The results with `learned` of every run filled in, "no" and why where its method's last exit is at the floor.

    The floor is what one answer for all of dev scores: the most frequent class, or any number (a correlation of 0).
    What training itself noticed comes first; scores on dev also tell of runs made before it looked.
    """
    dev = results.exits[results.exits["split"] == "dev"]
    last = dev.loc[dev.groupby(CELL, sort=False)["exit"].idxmax()]
    said = {tuple(row[name] for name in CELL): _at_floor(row, results) for _, row in last.iterrows()}
    runs = results.runs
    keys = zip(*(runs[name] for name in CELL), strict=True)
    filled = [
        text if str(text).startswith("no") else said.get(key) or text
        for key, text in zip(keys, runs["learned"], strict=True)
    ]
    return replace(results, runs=runs.assign(learned=pd.Series(filled, index=runs.index, dtype=str)))


def _at_floor(row: pd.Series[Any], results: Results) -> str:
    """Why the last exit of a method did not learn, as its score on dev tells; empty when it did or nothing is known."""
    floor = floors(results).get((row["task"], row["metric"]))
    if floor is None or not at_floor(row["score_mean"], floor):
        return ""
    score = percent(row["score_mean"])
    return f"no: exit {row['exit']} scores {score} on dev, one answer for every sample {percent(floor)}"


def floors(results: Results) -> dict[tuple[str, str], float]:
    """What one answer for every sample scores on dev, by task and metric, where it is known."""
    found: dict[tuple[str, str], float] = {}
    tasks = mapping(results.provenance.get("tasks"))
    for task, metric in dict.fromkeys(zip(results.exits["task"], results.exits["metric"], strict=True)):
        about = mapping(tasks.get(task))
        # Results of one metric a task have the score of that one alone.
        alone = about.get("one_class") if metric == about.get("metric") else None
        known = (
            0.0 if metric in CORRELATIONS else mapping(about.get("one_class_by_metric")).get(metric, alone)
        )
        if isinstance(known, float):
            found[task, metric] = known
    return found


def at_floor(score: float, floor: float | None) -> bool:
    """Whether a score is no better than one answer for every sample."""
    return floor is not None and score <= floor + ROUNDING


def marked(point: pd.Series[Any], floors: Mapping[tuple[str, str], float]) -> str:
    """The mark of a score at the floor, or nothing."""
    return UNLEARNED if at_floor(point["score_mean"], floors.get((point["task"], point["metric"]))) else ""


def unlearned_table(results: Results, titles: dict[str, str]) -> str:
    """What did not learn and why, seeds of one reason in one row; empty when everything learned."""
    runs = results.runs
    failed = runs[runs["learned"].astype(str).str.startswith("no")]
    if failed.empty:
        return ""
    rows = [
        [escape(task), escape(backbone), escape(titles.get(str(method), str(method))),
         ", ".join(map(str, part["seed"])), escape(str(reason).removeprefix("no: "))]
        for (task, backbone, method, reason), part in failed.groupby([*CELL, "learned"], sort=False)
    ]  # fmt: skip
    return table(["task", "backbone", "method", "seeds", "why"], rows, "lllll")
