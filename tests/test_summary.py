import pandas as pd
import pytest

from eebench.summary import chosen_settings, summarise

KEYS = {"task": "t", "backbone": "b", "method": "m", "metric": "accuracy", "seeds": 2}


def curve(split, rows):
    """Points of one rule: setting, speed-up, score."""
    return [
        {
            **KEYS,
            "rule": "r",
            "split": split,
            "setting": setting,
            "speedup_flops": speedup,
            "score_mean": score,
        }
        for setting, speedup, score in rows
    ]


DEV = curve("dev", [("a", 1.0, 0.90), ("b", 2.0, 0.80), ("c", 2.5, 0.895), ("d", 4.0, 0.50)])
HELD = curve("holdout", [("a", 1.0, 0.70), ("b", 2.1, 0.695), ("c", 2.4, 0.60), ("d", 4.0, 0.50)])
EXITS = pd.DataFrame(
    [
        {**KEYS, "split": split, "exit": layer, "score_mean": score}
        for split, layer, score in
        [("dev", 1, 0.5), ("dev", 2, 0.9), ("holdout", 1, 0.5), ("holdout", 2, 0.7)]
    ]
)  # fmt: skip


def summary(points, selection):
    (row,) = summarise(pd.DataFrame(points), EXITS, selection).to_dict("records")
    return row


def test_dev_chooses_under_the_papers_protocol():
    row = summary(DEV, "dev")
    assert {key: row[key] for key in ("task", "backbone", "method", "rule", "metric", "seeds")} == {
        **KEYS, "rule": "r",
    }  # fmt: skip
    # c is within a point of 0.90 and the fastest of those; c is also the best of those twice as fast
    assert (row["full_score"], row["speedup_at_1pt"], row["score_at_2x"]) == (0.9, 2.5, 0.895)


def test_the_held_out_slice_chooses_and_dev_is_shown():
    row = summary([*DEV, *HELD], "holdout")
    # on the slice b is within a point of 0.70 and the best of those twice as fast; dev has 2.0 and 0.80 for b
    assert (row["speedup_at_1pt"], row["score_at_2x"]) == (2.0, 0.80)
    assert row["full_score"] == 0.9
    assert row["auc"] == summary(DEV, "dev")["auc"]


def test_other_scores_on_dev_change_no_choice():
    worse = [{**row, "score_mean": 1 - row["score_mean"]} for row in DEV]
    row = summary([*worse, *HELD], "holdout")
    assert row["speedup_at_1pt"] == 2.0 and row["score_at_2x"] == pytest.approx(1 - 0.80)
    # the same change under the other protocol moves it: only d is then within a point of 0.90 or above
    assert summary(worse, "dev")["score_at_2x"] == 0.5


def test_a_slice_on_which_no_setting_qualifies_leaves_numbers_out():
    slow = curve("holdout", [("a", 1.0, 0.6), ("b", 1.5, 0.6)])
    row = summary([*DEV, *slow], "holdout")
    assert row["speedup_at_1pt"] is None and row["score_at_2x"] is None


def test_of_equals_the_first_setting_is_chosen():
    rows = pd.DataFrame(curve("holdout", [("x", 2.0, 0.5), ("y", 2.0, 0.5)]))
    assert chosen_settings(rows, 0.5) == ("x", "x")
