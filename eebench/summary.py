"""From points to one line per curve; under a blind protocol settings are chosen on one split and shown on another."""

from __future__ import annotations

from typing import Any

import pandas as pd

from eebench.stats import area_under_front, best_at_speedup, fastest_within

CELL = ["task", "backbone", "method"]
SHOWN = "dev"
"""The split whose numbers a summary shows."""


def summarise(points: pd.DataFrame, exits: pd.DataFrame, selection: str) -> pd.DataFrame:
    """One row per task, backbone, method, rule and metric; `selection` is the split that chooses the settings.

    `points` and `exits` are the aggregated tables with their split. The speed-up within a point and the score at
    2x are dev's values of the setting that `selection` chooses, a missing number if no setting qualifies there.
    Full score and area are dev's own.
    """
    last = (
        exits.drop_duplicates([*CELL, "split", "metric"], keep="last")
        .set_index([*CELL, "split", "metric"])["score_mean"]
        .to_dict()
    )
    rows = []
    for key, group in points.groupby([*CELL, "rule", "metric"], sort=False):
        names = dict(zip([*CELL, "rule", "metric"], key, strict=True))
        shown, judged = group[group["split"] == SHOWN], group[group["split"] == selection]
        fast, good = chosen_settings(judged, float(last[(*key[:3], selection, key[-1])]))
        rows.append(
            {
                **names, "full_score": float(last[(*key[:3], SHOWN, key[-1])]),
                "speedup_at_1pt": _value(shown, fast, "speedup_flops"),
                "score_at_2x": _value(shown, good, "score_mean"),
                "auc": area_under_front(1.0 / shown["speedup_flops"], shown["score_mean"]),
                "seeds": shown["seeds"].iloc[0], "setting_at_1pt": fast or "", "setting_at_2x": good or "",
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def chosen_settings(curve: pd.DataFrame, full_score: float) -> tuple[str | None, str | None]:
    """The fastest setting within a point of `full_score`, and the best one at twice the speed or more."""
    speedups, scores = curve["speedup_flops"], curve["score_mean"]
    places = fastest_within(speedups, scores, full_score), best_at_speedup(speedups, scores)
    fast, good = (None if place is None else str(curve["setting"].iloc[place]) for place in places)
    return fast, good


def _value(curve: pd.DataFrame, setting: str | None, column: str) -> float | None:
    """The number of one setting of a curve."""
    if setting is None:
        return None
    values: pd.Series[Any] = curve.loc[curve["setting"] == setting, column]
    return float(values.iloc[0])
