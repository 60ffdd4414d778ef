"""A results folder written by hand that has something for every kind of section."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from eebench.histograms import EDGES
from eebench.report.sections.ground import Ground, grounds
from eebench.report.selection import apart, distinguish, shown_methods
from eebench.results import read_results, write_results
from eebench.sections import read_sections

EXITS: dict[str, dict[int, float]] = {
    "finetune": {6: 0.45},
    "first-1": {1: 0.10},
    "first-5": {5: 0.47},
    "joint-1-6": {1: 0.12, 6: 0.46},
    "down-1-6": {1: 0.20, 6: 0.44},
    "up-1-6": {1: 0.11, 6: 0.48},
    "mutual-1-6": {1: 0.21, 6: 0.49},
    "pabee": {2: 0.20, 4: 0.30, 6: 0.40},
    "gaml": {2: 0.23, 4: 0.33, 6: 0.43},
    "gaml-small": {2: 0.26, 4: 0.36, 6: 0.40},
    "csdbert": {1: 0.10, 2: 0.20, 3: 0.31, 4: 0.41, 5: 0.42, 6: 0.44},
    "smartbert": {3: 0.48, 6: 0.50},
}
"""Mean score by label and exit."""

# Rule, setting, score, speed-up.
POINTS: dict[str, list[tuple[str, str, float, float]]] = {
    "finetune": [("budgeted", "exit=6", 0.45, 1.0)],
    "pabee": [("patience", "patience=1", 0.25, 3.0), ("patience", "patience=2", 0.35, 1.9),
              ("entropy", "S=0.3", 0.33, 2.6)],
    "gaml": [("patience", "patience=2", 0.38, 2.0), ("entropy", "S=0.3", 0.36, 2.05)],
    "gaml-small": [("patience", "patience=2", 0.37, 1.85)],
    "csdbert": [("cka", "theta=0.06;R=1", 0.30, 1.9), ("cka", "theta=0.06;R=2", 0.40, 1.5),
                ("cka", "theta=0;R=1", 0.36, 1.4), ("budgeted", "exit=3", 0.31, 2.0)],
    "smartbert": [("entropy", "S=0", 0.50, 1.25), ("entropy", "S=0.1", 0.49, 1.6), ("entropy", "S=0.5", 0.4, 2.5)],
}  # fmt: skip

# Mean over exits by label and seed; None failed.
SEEDS: dict[str, dict[int, float | None]] = {
    "pabee": {1: 0.29, 2: 0.31},
    "gaml": {1: 0.31, 2: 0.35, 3: 0.36},
    "lost": {1: None, 2: None},
}

PARAMETERS = {"gaml-small": 400}

# Label: rule, setting, score and speed-up on the shorter half of dev.
SIMPLE = {"finetune": ("budgeted", "exit=6", 0.46, 1.0), "gaml": ("patience", "patience=2", 0.41, 2.2)}

# Theta: checks and how many fired, of csdbert under cka; and how its changes lie.
CHECKS = {"0": (40, 30), "0.06": (40, 39)}
CHANGES = {-0.02: 30, 0.01: 9, 0.1: 1}

METHODS: dict[str, Any] = {
    "finetune": {"method": "finetune", "title": "Fine-tuned", "default_rule": "budgeted",
                 "options": {"patience": None}},
    "pabee": {"method": "pabee", "title": "PABEE", "default_rule": "patience", "options": {"patience": 2}},
    "gaml": {"method": "gaml", "title": "GAML-BERT", "default_rule": "patience",
             "options": {"patience": 2, "alpha": 0.5, "ga": "soft", "head": {"pooling": "cls"}},
             "task_options": {"cola": {"alpha": 0.3}}},
    "gaml-small": {"method": "gaml", "title": "GAML-BERT (gaml-small)", "default_rule": "patience",
                   "options": {"patience": 2, "alpha": 0.1, "ga": "soft"}},
    "csdbert": {"method": "csdbert", "title": "CsdBERT", "default_rule": "cka;theta=0.06"},
    "smartbert": {"method": "smartbert", "title": "SmartBERT", "default_rule": "entropy"},
}  # fmt: skip

SECTIONS: list[dict[str, Any]] = [
    {"kind": "pairs", "pairs": {"1&6": {
        "direct": ["first-1", "finetune"], "joint": "joint-1-6", "deep_to_shallow": "down-1-6",
        "shallow_to_deep": "up-1-6", "mutual": "mutual-1-6"}}},
    {"kind": "comparison", "control": "pabee", "methods": ["gaml", "gaml-small", "lost"]},
    {"kind": "histogram", "quantity": "angle", "methods": ["gaml", "lost"]},
    {"kind": "histogram", "quantity": "c", "methods": ["gaml"]},
    {"kind": "sensitivity", "option": "alpha", "methods": ["gaml", "gaml-small"]},
    {"kind": "training-steps", "methods": ["finetune", "pabee", "gaml", "lost"]},
    {"kind": "strategies", "methods": ["pabee", "gaml"]},
    {"kind": "overthinking", "title": "Deep <enough>?", "methods": ["first-1", "first-5", "finetune"]},
    {"kind": "overthinking", "methods": ["lost"]},
    {"kind": "alignment", "methods": ["csdbert", "lost"]},
    {"kind": "thresholds", "methods": ["finetune", "smartbert"], "settings": [0.1, 0.5]},
    {"kind": "skipping", "methods": ["smartbert"]},
    {"kind": "front", "methods": ["finetune", "pabee", "gaml"], "score_share": 0.95, "cost_share": 0.25},
    {"kind": "layers", "methods": ["pabee", "gaml"], "level": "finetune"},
    {"kind": "simple", "methods": ["finetune", "gaml", "pabee"]},
    {"kind": "compression", "methods": ["finetune", "gaml", "gaml-small"], "speedups": {"gaml": 2.0}},
    {"kind": "average", "methods": ["finetune", "gaml", "lost"]},
    {"kind": "elue", "reference": "pabee", "methods": ["gaml", "gaml-small"]},
    {"kind": "shapes", "methods": ["finetune", "gaml-small", "lost"]},
    {"kind": "operations", "methods": ["finetune", "smartbert"], "missing": {"Table <9>": "which is of another model"}},
]  # fmt: skip

CELL = {"task": "cola", "backbone": "toy"}
FORM = {"head": "own pooler", "pooling": "cls"}


def spread_of(label: str) -> tuple[float, int]:
    """Standard deviation and number of seeds of a label's scores."""
    seeds = len(SEEDS.get(label, {1: 0.0}))
    return (0.01, seeds) if seeds > 1 else (math.nan, 1)


def exit_rows() -> list[dict[str, Any]]:
    return [
        {**CELL, **FORM, "method": label, "exit": layer, "split": "dev", "metric": "matthews", "score_mean": score,
         "score_std": spread_of(label)[0], "seeds": spread_of(label)[1]}
        for label, scores in EXITS.items() for layer, score in scores.items()
    ]  # fmt: skip


def point_rows() -> list[dict[str, Any]]:
    return [
        {**CELL, **FORM, "method": label, "rule": rule, "setting": setting, "split": "dev", "metric": "matthews",
         "score_mean": score, "score_std": spread_of(label)[0], "seeds": spread_of(label)[1], "mean_exit": 6 / speedup,
         "speedup_layers": speedup, "flops_per_sample": 1e9 / speedup, "speedup_flops": speedup,
         "convention": "full_2mac@128"}
        for label, points in POINTS.items() for rule, setting, score, speedup in points
    ]  # fmt: skip


def run_rows() -> list[dict[str, Any]]:
    rows = []
    for label in [*EXITS, "lost"]:
        for seed, mean in SEEDS.get(label, {1: sum(EXITS.get(label, {1: 0.0}).values()) / 3}).items():
            ok = mean is not None
            rows.append({
                **CELL, **FORM, "method": label, "seed": seed, "status": "ok" if ok else "failed",
                "reason": "" if ok else "the loss is not finite",
                "parameters": PARAMETERS.get(label, 1000) if ok else None,
                "training_steps": 1000 + 100 * seed if ok else None, "configurations": 1, "exit_mean": mean,
                "model_bytes": 4000 * PARAMETERS.get(label, 1000) if ok else None,
            })  # fmt: skip
    return rows


def histogram_rows() -> list[dict[str, Any]]:
    """Ten steps: angles of 30, 92 (six times) and 178 degrees (three); c of -9, -2.4, -0.1 (six) and 1 (two)."""
    found = {
        "angle": {30.0: 1, 90.0: 6, 175.0: 3},
        "c": {-math.inf: 1, -2.5: 1, -0.25: 6, 1.0: 2},
    }
    return [
        {
            **CELL,
            "method": "gaml",
            "quantity": quantity,
            "low": low,
            "high": high,
            "count": places.get(low, 0),
        }
        for quantity, places in found.items()
        for low, high in zip(EDGES[quantity][:-1], EDGES[quantity][1:], strict=True)
    ]


def delta_rows() -> list[dict[str, Any]]:
    """Forty changes, each in the bin that begins at its value."""
    return [
        {
            **CELL,
            "method": "csdbert",
            "quantity": "delta",
            "low": low,
            "high": high,
            "count": CHANGES.get(low, 0),
        }
        for low, high in pairwise(EDGES["delta"])
    ]


def check_rows() -> list[dict[str, Any]]:
    return [
        {
            **CELL,
            "method": "csdbert",
            "split": "dev",
            "rule": "cka",
            "theta": theta,
            "checks": made,
            "fired": fired,
        }
        for theta, (made, fired) in CHECKS.items()
    ]


def simple_rows() -> list[dict[str, Any]]:
    return [
        {**CELL, "method": label, "rule": rule, "setting": setting, "split": "dev", "metric": "matthews",
         "score_mean": score, "score_std": math.nan, "seeds": 1, "mean_exit": 6 / speedup,
         "flops_per_sample": 1e9 / speedup, "speedup_flops": speedup}
        for label, (rule, setting, score, speedup) in SIMPLE.items()
    ]  # fmt: skip


def layer_rows() -> list[dict[str, Any]]:
    """Six layers each; those of gaml-small grow, and smartbert has a gate before each."""
    rows = []
    for label, exits in (("finetune", (6,)), ("gaml-small", (2, 4, 6)), ("smartbert", (3, 6))):
        small, gated = label == "gaml-small", label == "smartbert"
        rows += [
            {"backbone": "toy", "method": label, "layer": layer, "width": 32, "heads": 1 if small else 2,
             "head_width": 16, "ffn_width": 8 * layer if small else 64, "layer_flops": 2_000_000 + 1000 * small * layer,
             "exit_flops": 40_000 if layer in exits else None, "gate_flops": 31_000 if gated else None,
             "convention": "full_2mac@128"}
            for layer in range(1, 7)
        ]  # fmt: skip
    return rows


def write_analyses(folder: Path, sections: list[dict[str, Any]], **tables: list[dict[str, Any]]) -> Path:
    """The results written by hand, some tables of them replaced."""
    rows = {"points": point_rows(), "exits": exit_rows(), "runs": run_rows(),
            "histograms": [*histogram_rows(), *delta_rows()], "checks": check_rows(),
            "simple": simple_rows(), "layers": layer_rows()}  # fmt: skip
    provenance = {"suite": {"name": folder.name}, "methods": METHODS, "sections": sections}
    found = {name: pd.DataFrame(part) for name, part in (rows | tables).items() if part}
    write_results(folder, found, provenance)
    return folder


@pytest.fixture
def analyses(tmp_path: Path) -> Path:
    """The folder with all sections."""
    return write_analyses(tmp_path / "analyses", SECTIONS)


def ground_of(folder: Path) -> Ground:
    """The only ground of a folder."""
    results, held = apart(distinguish(read_results(folder)))
    (found,) = grounds(results, held, shown_methods(results))
    return found


@pytest.fixture
def ground(analyses: Path) -> Ground:
    return ground_of(analyses)


@pytest.fixture
def section() -> Callable[..., Any]:
    """`section(kind=..., ...)` is one section, checked."""

    def make(**keys: Any) -> Any:
        (found,) = read_sections([keys])
        return found

    return make


@pytest.fixture
def write() -> Callable[..., Path]:
    return write_analyses


def elsewhere(rows: list[dict[str, Any]], label: str) -> list[dict[str, Any]]:
    """The rows, and those of one label on a second backbone: a tenth better, half the FLOPs and parameters."""
    copies = [
        {**row, "backbone": "side/small", "score_mean": row.get("score_mean", 0.0) + 0.1,
         **{name: row[name] // 2 for name in ("flops_per_sample", "parameters") if row.get(name) is not None}}
        for row in rows if row["method"] == label
    ]  # fmt: skip
    return [*rows, *copies]


@pytest.fixture
def both(tmp_path: Path) -> Callable[..., Path]:
    """`both(sections, drop)` has gaml on a second backbone too; `drop` are labels without a result on the first."""

    def make(sections: list[dict[str, Any]], drop: tuple[str, ...] = ()) -> Path:
        scores = {"points": point_rows(), "exits": exit_rows()}
        kept = {name: [row for row in rows if row["method"] not in drop] for name, rows in scores.items()}
        tables = {name: elsewhere(rows, "gaml") for name, rows in {**kept, "runs": run_rows()}.items()}
        return write_analyses(
            tmp_path / "both", sections, **tables, layers=elsewhere(layer_rows(), "gaml-small")
        )

    return make
