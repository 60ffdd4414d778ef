import math

import pandas as pd
import pytest

from eebench.report.sections.ground import Spread, first, grounds, is_at, knobs_of
from eebench.report.selection import apart, distinguish, shown_methods
from eebench.results import read_results


def test_a_spread_over_seeds():
    found = Spread.of([0.2, 0.4])
    assert (found.mean, found.seeds) == (pytest.approx(0.3), 2)
    assert found.std == pytest.approx(math.sqrt(0.02))
    assert (
        math.isnan(Spread.of([0.2]).std) and Spread.of([]).seeds == 0 and math.isnan(Spread.read(None).mean)
    )


def test_what_the_provenance_says_of_a_label(ground):
    assert (ground.title("gaml-small"), ground.heading("gaml-small")) == (
        "GAML-BERT (gaml-small)",
        "GAML-BERT",
    )
    assert (ground.method("gaml-small"), ground.method("lost"), ground.title("lost")) == (
        "gaml",
        "lost",
        "lost",
    )
    assert ground.option("gaml", "rte", "alpha") == 0.5  # the task's own comes first
    assert ground.option("gaml", "cola", "alpha") == 0.3
    assert ground.option("gaml", "cola", "head.pooling") == "cls"
    assert ground.option("gaml", "cola", "nothing.there") is ground.option("lost", "cola", "alpha") is None


def test_scores(ground):
    assert ground.exit_score("mutual-1-6", "cola", 6).mean == 0.49
    assert ground.exit_score("mutual-1-6", "cola", 3).seeds == 0
    assert ground.last_exit("gaml", "cola").mean == 0.43 and ground.last_exit("lost", "cola").seeds == 0
    assert (
        ground.seed_means("pabee", "cola") == {1: 0.29, 2: 0.31} and ground.seed_means("lost", "cola") == {}
    )
    assert ground.metric("cola") == "MCC on dev" and ground.metric("rte") == "score"


def test_the_mean_over_exits_of_a_folder_without_that_column(ground):
    assert ground.mean_over_exits("gaml", "cola").mean == pytest.approx((0.31 + 0.35 + 0.36) / 3)
    runs = ground.runs.assign(exit_mean=math.nan)
    old = type(ground)(**{**vars(ground), "runs": runs})
    found = old.mean_over_exits("gaml", "cola")
    assert (
        found.mean == pytest.approx((0.23 + 0.33 + 0.43) / 3) and math.isnan(found.std) and found.seeds == 3
    )
    assert old.mean_over_exits("lost", "cola").seeds == 0


def test_the_operating_point_under_any_rule(ground):
    assert ground.operating("pabee", "cola")["setting"] == "patience=2"
    assert ground.operating("pabee", "cola", "entropy")["setting"] == "S=0.3"
    assert ground.operating("pabee", "cola", "max-prob") is ground.operating("lost", "cola") is None


def test_held_out_points_choose_it(ground):
    held = ground.points[ground.points["method"] == "pabee"].copy()
    held["speedup_flops"] = [2.0 if setting == "patience=1" else 9.0 for setting in held["setting"]]
    blind = type(ground)(**{**vars(ground), "held": held})
    found = blind.operating("pabee", "cola")
    assert (found["setting"], found["speedup_flops"]) == ("patience=1", 3.0)
    assert blind.operating("gaml", "cola")["setting"] == "patience=2"
    gone = type(ground)(**{**vars(blind), "points": ground.points[ground.points["setting"] != "patience=1"]})
    assert gone.operating("pabee", "cola") is None


def test_tasks_and_what_has_no_result(ground, section):
    found = section(kind="overthinking", methods=["pabee", "lost", "never"])
    assert ground.tasks(found) == ["cola"]
    assert list(ground.without_result(found)) == ["lost on cola", "never"]
    assert ground.tasks(section(kind="overthinking", methods=["pabee"], tasks=["rte"])) == ["rte"]
    assert ground.tasks(section(kind="overthinking", methods=["never"])) == []


def test_one_ground_per_backbone_on_its_first_split_and_convention(analyses):
    results = distinguish(read_results(analyses))
    points, exits, runs = results.points, results.exits, results.runs
    more = [points, points.assign(convention="layers"), points.assign(split="test")]
    changed = {
        "points": pd.concat([*more, points.assign(backbone="other")], ignore_index=True),
        "exits": pd.concat([exits, exits.assign(split="test")], ignore_index=True),
        "runs": pd.concat([runs, runs.assign(backbone="other")], ignore_index=True),
    }
    shown, held = apart(type(results)(**{**vars(results), **changed}))
    toy, other = grounds(shown, held, shown_methods(shown))
    assert (toy.backbone, len(toy.points), len(toy.exits)) == ("toy", len(points), len(exits))
    assert set(toy.points["convention"]) == {"full_2mac@128"} and set(toy.exits["split"]) == {"dev"}
    assert (other.backbone, len(other.points), len(other.exits)) == ("other", len(points), 0)
    assert len(toy.histograms) > 0 and other.histograms.empty
    assert first(points.iloc[:0], "split").empty


def test_a_point_at_a_threshold_or_near_a_speed_up(ground):
    assert ground.at("pabee", "cola", "entropy", 0.3)["score_mean"] == 0.33
    assert ground.at("csdbert", "cola", "cka", 2)["setting"] == "theta=0.06;R=2"
    assert ground.at("pabee", "cola", "entropy", 0.4) is ground.at("lost", "cola", "entropy", 0.3) is None
    assert ground.nearest("pabee", "cola", None)["setting"] == "patience=2"
    assert ground.nearest("pabee", "cola", 2.6)["setting"] == "patience=1"
    assert ground.nearest("lost", "cola", 2.6) is None
    assert len(ground.curve("pabee", "cola")) == 2 and len(ground.curve("pabee", "cola", "entropy")) == 1


def test_held_out_points_choose_the_nearest(ground):
    held = ground.points[ground.points["method"] == "pabee"].copy()
    held["speedup_flops"] = [2.6 if setting == "patience=2" else 9.0 for setting in held["setting"]]
    blind = type(ground)(**{**vars(ground), "held": held})
    assert blind.nearest("pabee", "cola", 2.6)["setting"] == "patience=2"


def test_static_labels_and_the_full_model(ground):
    assert ground.static("finetune", "cola") and not ground.static("pabee", "cola")
    assert ground.full("cola") == "finetune" and ground.full("rte") is None


def test_settings_are_numbers():
    assert knobs_of("theta=0.06;R=2") == {"theta": 0.06, "R": 2.0}
    assert knobs_of("odd") == knobs_of("") == {}
    assert (
        is_at("S=0.1", 0.1) and is_at("t=2;tau=0", 0.0) and not is_at("S=0.1", 0.2) and not is_at("odd", 0.0)
    )


def test_checks_and_simple_are_of_the_split_shown(analyses):
    results, held = apart(distinguish(read_results(analyses)))
    more = {name: pd.concat([table, table.assign(split="holdout")])
            for name, table in (("checks", results.checks), ("simple", results.simple))}  # fmt: skip
    (found,) = grounds(type(results)(**{**vars(results), **more}), held, shown_methods(results))
    assert set(found.checks["split"]) == set(found.simple["split"]) == {"dev"}
    assert found.checks["base"].tolist() == ["csdbert", "csdbert"]


def test_a_default_rule_with_knobs_shows_and_chooses_among_the_settings_with_them(ground):
    shown = ["theta=0.06;R=1", "theta=0.06;R=2"]
    assert ground.curve("csdbert", "cola")["setting"].tolist() == shown
    assert len(ground.curve("csdbert", "cola", "cka")) == 3
    assert ground.curve("csdbert", "cola", "cka;theta=0")["setting"].tolist() == ["theta=0;R=1"]
    held = ground.points[ground.points["method"] == "csdbert"].copy()
    held["speedup_flops"] = [{shown[1]: 1.7, "theta=0;R=1": 1.9}.get(text, 9.0) for text in held["setting"]]
    blind = type(ground)(**{**vars(ground), "held": held})
    assert (
        blind.operating("csdbert", "cola")["setting"]
        == blind.nearest("csdbert", "cola", 1.9)["setting"]
        == shown[1]
    )
    assert blind.operating("csdbert", "cola", "cka")["setting"] == "theta=0;R=1"
