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
    assert row["setting_at_1pt"] == row["setting_at_2x"] == ""


def test_of_equals_the_first_setting_is_chosen():
    rows = pd.DataFrame(curve("holdout", [("x", 2.0, 0.5), ("y", 2.0, 0.5)]))
    assert chosen_settings(rows, 0.5) == ("x", "x")


def test_the_area_is_under_the_front_of_cost_not_of_speed():
    """Relative costs 1, 0.5, 0.4 and 0.25 with scores 0.9, 0.8, 0.895 and 0.5, by hand."""
    # From 0.25 on 0.5 is affordable, from 0.4 on 0.895, at 1 alone 0.9.
    expected = (0.4 - 0.25) * 0.5 + (1.0 - 0.4) * 0.895
    assert summary(DEV, "dev")["auc"] == pytest.approx(expected, abs=1e-12)


def test_the_chosen_settings_are_named():
    row = summary(DEV, "dev")
    assert (row["setting_at_1pt"], row["setting_at_2x"]) == ("c", "c")
    slow = curve("dev", [("a", 1.0, 0.90), ("b", 1.5, 0.80)])
    row = summary(slow, "dev")
    assert (row["setting_at_1pt"], row["setting_at_2x"], row["score_at_2x"]) == ("a", "", None)


def test_every_metric_has_a_summary_of_its_own():
    other = [{**row, "metric": "f1", "score_mean": row["score_mean"] / 2} for row in DEV]
    exits = pd.concat([EXITS, EXITS.assign(metric="f1", score_mean=EXITS["score_mean"] / 2)])
    rows = summarise(pd.DataFrame([*DEV, *other]), exits, "dev").set_index("metric")
    assert rows["full_score"].to_dict() == {"accuracy": 0.9, "f1": 0.45}


def test_curves_stay_in_the_order_of_the_points():
    rules = ["s", "q", "r"]
    rows = summarise(pd.DataFrame([{**row, "rule": rule} for rule in rules for row in DEV]), EXITS, "dev")
    assert rows["rule"].tolist() == rules
