"""The sections of each paper, for results of any suite: what `eebench report --layout` shows.

Labels are those of the suites of the same names. A layout is cut to what the results have.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import pandas as pd

from eebench.errors import UserError, closest
from eebench.results import Results

ALL = "*"
"""Stands for every label of the results."""

GAML_ALPHA = ["ml-alpha-0.1", "ml", "ml-alpha-0.5", "ml-alpha-0.8", "gaml-alpha-0.1", "gaml", "gaml-alpha-0.5",
              "gaml-alpha-0.8"]  # fmt: skip


def _pair(low: int, direct: str) -> dict[str, Any]:
    """The runs of the pilot's pair of exit `low` and the last one, 12."""
    start = f"pairwise-{low}-12"
    return {"direct": [direct, "finetune-pilot"], "joint": f"{start}-joint",
            "deep_to_shallow": f"{start}-deep-to-shallow", "shallow_to_deep": f"{start}-shallow-to-deep",
            "mutual": f"{start}-mutual"}  # fmt: skip


LAYOUTS: Mapping[str, tuple[Mapping[str, Any], ...]] = {
    "gaml": (
        {"kind": "pairs", "title": "Table 1: two exits that learn from each other",
         "pairs": {"1&12": _pair(1, "first-1-pilot"), "6&12": _pair(6, "first-6-pilot")}},
        {"kind": "histogram", "title": "Fig. 3: angle between the two gradients", "quantity": "angle",
         "methods": ["ml-watched", "gaml"]},
        {"kind": "layers", "title": "Fig. 4: score by layer", "level": "finetune",
         "methods": ["pabee", "fastbert", "gaml"]},
        {"kind": "sensitivity", "title": "Table 3: weight of distillation", "option": "alpha",
         "methods": GAML_ALPHA},
        {"kind": "training-steps", "title": "Table 4: training steps until early stopping",
         "methods": ["finetune", "pabee", "fastbert", "gaml"]},
        {"kind": "strategies", "title": "Table 5: exit rules compared", "rules": ["entropy", "max-prob"],
         "methods": ["deebert-joint", "deebert", "shallow-deep", "gaml"]},
        {"kind": "overthinking", "title": "Fig. 5: over-thinking",
         "methods": [*(f"first-{depth}" for depth in range(1, 12)), "finetune"]},
    ),
    "csdbert": (
        {"kind": "average", "title": "Tables 3 and 4: score by task and their average",
         "methods": ["finetune", "first-6", "theseus", "layerdrop", "distilbert", "pkd", "cascade", "gaml",
                     "pabee", "deebert-joint", "deebert", "fastbert", "elasticbert", "elasticbert-patience",
                     "csdbert"]},
        {"kind": "sensitivity", "title": "Fig. 3a: number of teachers", "option": "n_teachers",
         "methods": ["csdbert-n3", "csdbert-n4", "csdbert-n5", "csdbert", "csdbert-n7", "csdbert-n8"]},
        {"kind": "alignment", "title": "Fig. 3b: speed-up and score by R", "methods": ["csdbert"]},
        {"kind": "comparison", "title": "Table 5: without contrast, without distillation", "control": "csdbert",
         "methods": ["csdbert-without-scl", "csdbert-without-kd"]},
        {"kind": "elue", "title": "ELUE score", "reference": "elasticbert", "methods": [ALL]},
    ),
    "smartbert": (
        {"kind": "thresholds", "title": "Table 1: entropy thresholds compared", "settings": [0.1, 0.3, 0.5],
         "methods": ["finetune", "distilbert", "deebert", "fastbert", "smartbert"]},
        {"kind": "skipping", "title": "Table 3: skipping alone", "methods": ["smartbert"]},
        {"kind": "front", "title": "Fig. 4: score against FLOPs",
         "methods": ["finetune", "distilbert", "deebert", "fastbert", "smartbert"]},
        {"kind": "front", "title": "Fig. 5: without contrastive learning across layers",
         "methods": ["smartbert", "smartbert-without-ccl"]},
        {"kind": "front", "title": "Fig. 6: gates trained soft or hard alone",
         "methods": ["smartbert", "smartbert-soft", "smartbert-hard"]},
    ),
    "costeff": (
        {"kind": "compression", "title": "Table 3: parameters and FLOPs reduced", "methods": [ALL],
         "speedups": {"cost-eff-8x": 19.0, "cost-eff-2x": 2.4}},
        {"kind": "simple", "title": "Table 3: simple inputs", "methods": ["tinybert4", "cost-eff-8x"],
         "speedups": {"cost-eff-8x": 19.0}},
        {"kind": "comparison", "title": "Table 4: without distillation", "control": "cost-eff-8x",
         "speedup": 19.0, "methods": ["cost-eff-8x-without-features", "cost-eff-8x-labels"]},
        {"kind": "front", "title": "Fig. 3: score against FLOPs, 8x", "score_share": 0.95, "cost_share": 0.05,
         "methods": ["tinybert4", "deebert", "pabee", "cost-eff-8x"]},
        {"kind": "front", "title": "Fig. 4: score against FLOPs, 2x", "score_share": 0.97, "cost_share": 0.25,
         "methods": ["first-6", "distilbert", "tinybert6", "elasticbert", "deebert", "pabee", "cost-eff-2x"]},
        {"kind": "layers", "title": "Fig. 5: score by layer", "level": "tinybert4",
         "methods": ["deebert", "pabee", "cost-eff-8x"]},
        {"kind": "layers", "title": "Fig. 6: score by layer, how it is trained", "level": "tinybert4",
         "methods": ["cost-eff-8x", "cost-eff-8x-two-stage", "cost-eff-8x-last-exit-importance"]},
    ),
}  # fmt: skip
"""The sections of each layout in the order of the page."""


def known_layout(name: str) -> str:
    """The name itself; UserError when there is no such layout."""
    if name not in LAYOUTS:
        near = closest(name, LAYOUTS)
        hint = f"did you mean '{near}'?  " if near else ""
        raise UserError(f"unknown layout '{name}'; {hint}there are {', '.join(LAYOUTS)}.")
    return name


def layout_sections(name: str, results: Results) -> list[dict[str, Any]]:
    """The sections of a layout as far as the results have what they name; raises UserError for an unknown layout."""
    labels = list(dict.fromkeys(map(str, results.runs["method"])))
    found = (_cut(section, labels, results.points) for section in LAYOUTS[known_layout(name)])
    return [section for section in found if section is not None]


def _cut(section: Mapping[str, Any], labels: Collection[str], points: pd.DataFrame) -> dict[str, Any] | None:
    """A section without the labels and rules that the results lack; None when nothing is left to show."""
    cut = dict(section)
    rules = set(points["rule"])
    if any(cut[key] not in labels for key in ("control", "reference") if key in cut):
        return None
    if "methods" in cut:
        every = cut["methods"] == [ALL]
        cut["methods"] = [label for label in (labels if every else cut["methods"]) if label in labels]
    if "pairs" in cut:
        cut["pairs"] = {
            name: entry for name, entry in cut["pairs"].items() if set(_runs(entry)) <= set(labels)
        }
    if "rules" in cut:
        cut["rules"] = [rule for rule in cut["rules"] if rule in rules]
    if any(not cut[key] for key in ("methods", "pairs", "rules") if key in cut):
        return None
    if cut.get("level", "") not in labels:
        cut.pop("level", None)
    if "speedups" in cut:
        cut["speedups"] = {
            label: value for label, value in cut["speedups"].items() if label in cut["methods"]
        }
    needed = {"alignment": "cka", "thresholds": "entropy"}.get(cut["kind"])
    return cut if needed is None or needed in rules else None


def _runs(entry: Mapping[str, Any]) -> Iterator[str]:
    """The labels of a pair."""
    for value in entry.values():
        yield from value if isinstance(value, list) else [value]
