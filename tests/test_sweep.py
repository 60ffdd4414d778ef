from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from rich.console import Console

from eebench.cli.progress import PlanProgress
from eebench.cost.conventions import convention
from eebench.cost.operations import ModelCost, Operations, Polynomial
from eebench.cost.paths import full_flops
from eebench.engine.local import Outcome, run_plan
from eebench.errors import UserError
from eebench.operating import scores_of
from eebench.plan import Planner, parse_only
from eebench.replay import replay
from eebench.rules.catalogue import find_rule
from eebench.sections import read_sections
from eebench.suites import CostEntry, load_suite
from eebench.summary import chosen_settings
from eebench.sweep import (
    Accounting,
    Collector,
    Measured,
    aggregate,
    applies,
    exit_mean,
    fitting,
    full_backbone,
    point_rows,
    reference_flops,
    shorter_half,
    with_speedups,
)
from eebench.trace import Trace


def trace_of(logits, labels, lengths=(3, 5, 3, 7)):
    tensor = torch.tensor(logits, dtype=torch.float32)
    rows = torch.arange(len(labels))
    return Trace(tuple(range(1, len(logits) + 1)), tensor, torch.tensor(labels), torch.tensor(lengths), rows)


# The first two samples are sure at exit 1, the second of them wrongly; exit 2 is always right.
TRACE = trace_of(
    [[[5, 0], [5, 0], [0.1, 0], [0, 0.1]], [[5, 0], [0, 5], [0, 5], [0, 5]]],
    [0, 1, 1, 1],
)
COST = ModelCost(
    embedding=Operations(Polynomial(10)),
    layers=(Operations(Polynomial(100), layers=1),) * 2,
    exits={1: Operations(Polynomial(5)), 2: Operations(Polynomial(5))},
    classifier=Operations(Polynomial(7)),
)
MEASURED = Measured(TRACE, COST, Accounting(convention("linear_mac"), 128), 2, 4 * 217, ("accuracy",))


def test_points_by_hand():
    never, early = point_rows(MEASURED, find_rule("max-prob"), [1.01, 0.9])
    assert never == {
        "setting": "q=1.01", "metric": "accuracy", "score": 1.0, "mean_exit": 2.0, "layers": 2.0,
        "flops": 10 + 200 + 10, "full_depth": 2,
        "full_flops": 217.0,
    }  # fmt: skip
    assert (early["setting"], early["score"], early["mean_exit"]) == ("q=0.9", 0.75, 1.5)
    assert early["flops"] == (2 * (10 + 100 + 5) + 2 * 220) / 4
    last, first = point_rows(MEASURED, find_rule("budgeted"), [2, 1])
    assert (last["score"], last["flops"]) == (1.0, 10 + 200 + 5)  # heads that are passed are not paid
    assert (first["score"], first["flops"], first["mean_exit"]) == (0.5, 115, 1.0)


def test_skipped_layers_are_neither_paid_nor_counted():
    # Gates of 1 MAC; the second and the fourth sample skip layer 1, the third skips layer 2.
    executed = torch.tensor([[True, False, True, False], [True, True, False, True]])
    cost = replace(COST, extras={"gate_1": Operations(Polynomial(1)), "gate_2": Operations(Polynomial(1))})
    gated = replace(MEASURED, trace=replace(TRACE, executed=executed), cost=cost)
    never, early = point_rows(gated, find_rule("max-prob"), [1.01, 0.9])
    # Full paths: 10 + 2 + 210, 10 + 2 + 105, 10 + 2 + 105 + 5 (the last exit answers all the same), 10 + 2 + 105.
    assert never["flops"] == (222 + 117 + 122 + 117) / 4 and never["layers"] == 5 / 4
    # The sure first sample leaves after layer 1; the sure second one cannot, for it skipped that layer.
    assert early["flops"] == (116 + 117 + 122 + 117) / 4 and early["layers"] == 4 / 4
    assert (never["mean_exit"], early["mean_exit"]) == (2.0, 7 / 4)


def test_the_alignment_rule_pays_for_its_steps_and_for_one_head():
    similar = replace(TRACE, similarities=torch.tensor([[float("nan")] * 4, [0.5] * 4]))
    cost = replace(COST, extras={"similarity": Operations(matmul=Polynomial(1000))})
    aligned = replace(MEASURED, trace=similar, cost=cost, accounting=Accounting(convention("full_2mac"), 128))
    # Two exits: one step of the similarity, two layers, one head; two FLOP per MAC.
    assert point_rows(aligned, find_rule("cka"), [1.0])[0]["flops"] == 2 * (10 + 200 + 5 + 1000)


def test_speed_ups_are_ratios_of_means():
    points = with_speedups(pd.DataFrame(point_rows(MEASURED, find_rule("max-prob"), [0.9])))
    assert points["speedup_layers"].tolist() == [2 / 1.5]
    assert points["speedup_flops"].tolist() == [217 / 167.5]


def test_a_setting_out_of_bounds_is_refused():
    with pytest.raises(UserError, match=r"entropy: S=-1 is outside 0\.\.inf"):
        point_rows(MEASURED, find_rule("entropy"), [-1])


def test_lengths_charged():
    real = Accounting.of(CostEntry(convention="linear_2mac", length="real"))
    distinct, column = real.columns(TRACE)
    assert (distinct.tolist(), column.tolist(), real.name) == ([[3, 5, 7]], [0, 1, 0, 2], "linear_2mac@real")
    padded = Accounting.of(CostEntry(length=64))
    distinct, column = padded.columns(TRACE)
    assert (distinct.tolist(), column.tolist(), padded.name) == ([[64]], [0, 0, 0, 0], "full_2mac@64")


def test_each_sample_pays_for_its_own_length():
    per_token = replace(COST, layers=(Operations(Polynomial(0, 1), layers=1),) * 2)
    measured = replace(MEASURED, cost=per_token, accounting=Accounting(convention("linear_mac"), None))
    (row,) = point_rows(measured, find_rule("max-prob"), [0.9])
    # lengths 3 and 5 leave after one layer and one head, 3 and 7 after two of each
    assert row["flops"] == ((15 + 3) + (15 + 5) + (20 + 2 * 3) + (20 + 2 * 7)) / 4


def test_correlations_are_scored_from_the_answers():
    trace = trace_of([[[1.0], [2.0], [3.0], [2.0]], [[1.0], [2.0], [3.0], [4.0]]], [1.0, 2.0, 3.0, 4.0])
    measured = replace(MEASURED, trace=trace, metrics=("pearson",))
    rows = point_rows(measured, find_rule("budgeted"), [1, 2])
    # deviations (-1.5, -.5, .5, 1.5) and (-1, 0, 1, 0): 2 / sqrt(5 * 2)
    assert [row["score"] for row in rows] == pytest.approx([2 / np.sqrt(10), 1.0])
    assert rows[0]["mean_exit"] == 1.0


def test_scores_from_counts_equal_scores_from_answers():
    replayed_rows = [row["score"] for row in point_rows(MEASURED, find_rule("entropy"), [0.0, 0.1, 1.0])]
    assert replayed_rows == [1.0, 0.75, 0.5]
    replayed = replay(find_rule("entropy"), TRACE, [0.0, 0.1, 1.0])
    found = scores_of(replayed, TRACE, ("matthews", "accuracy", "f1"))
    assert list(found) == ["matthews", "accuracy", "f1"] and found["accuracy"].tolist() == replayed_rows
    assert found["f1"].tolist() == pytest.approx([1.0, 2 * 2 / (2 * 2 + 1), 2 * 1 / (2 * 1 + 2)])
    matthews = found["matthews"]
    # at S=0.1 one of three positives is missed: tp 2, tn 1, fn 1 -> 2 / sqrt(2 * 3 * 1 * 2)
    assert matthews == pytest.approx([1.0, 2 / np.sqrt(12), (1 * 1) / np.sqrt(1 * 3 * 1 * 3)])


def test_every_metric_of_a_task_has_a_row_of_its_own():
    both = replace(MEASURED, metrics=("f1", "accuracy"))
    rows = point_rows(both, find_rule("entropy"), [0.0, 1.0])
    assert [(row["setting"], row["metric"]) for row in rows] == [
        ("S=0", "f1"), ("S=0", "accuracy"), ("S=1", "f1"), ("S=1", "accuracy"),
    ]  # fmt: skip
    assert rows[2]["flops"] == rows[3]["flops"] and (rows[2]["score"], rows[3]["score"]) == (0.5, 0.5)
    assert [row["metric"] for row in point_rows(both.headline, find_rule("entropy"), [0.0])] == ["f1"]


def test_which_rules_apply():
    static = replace(TRACE, exit_layers=(2,), logits=TRACE.logits[1:])
    regression = trace_of([[[1.0]] * 4] * 2, [1.0] * 4)
    assert applies(find_rule("entropy"), TRACE) and applies(find_rule("budgeted"), TRACE)
    assert applies(find_rule("budgeted"), static) and not applies(find_rule("entropy"), static)
    assert applies(find_rule("budgeted"), regression) and not applies(find_rule("entropy"), regression)


def test_a_grid_is_cut_to_what_the_model_can_do():
    static = replace(TRACE, exit_layers=(2,), logits=TRACE.logits[1:])
    assert fitting(find_rule("budgeted"), None, TRACE) == [2.0, 1.0]
    assert fitting(find_rule("budgeted"), [1, 6], TRACE) == [1.0]
    assert fitting(find_rule("budgeted"), [6, 12], static) == [2.0]
    assert fitting(find_rule("patience"), [3, 2, 1], TRACE) == [2, 1]
    assert fitting(find_rule("patience"), [7], TRACE) == []
    # Its threshold is a count, although only the last head is paid: an exit after that layer is not needed.
    sparse = replace(TRACE, exit_layers=(2, 4))
    assert fitting(find_rule("cka"), [2, 1], sparse) == [2, 1]


def test_seeds_are_averaged_with_their_deviation():
    keys = {"task": "t", "backbone": "b", "method": "m", "split": "dev", "metric": "accuracy", "head": "h",
            "pooling": "p", "exit": 1}  # fmt: skip
    table = aggregate(pd.DataFrame([{**keys, "score": 0.8}, {**keys, "score": 0.9}]), ["exit"], ["score"])
    assert table["score_mean"].tolist() == pytest.approx([0.85])
    assert table["score_std"].tolist() == pytest.approx([0.1 / np.sqrt(2)])
    assert table["seeds"].tolist() == [2]
    assert aggregate(pd.DataFrame(), ["exit"], ["score"]).empty


def test_the_reference_is_the_whole_backbone_with_one_classifier():
    depth, cost = full_backbone("toy", 2)
    assert depth == 2 and list(cost.exits) == [2]
    # per layer and token: 4 maps of 32 x 32, 2 of 32 x 64
    assert cost.layers[0].linear(10) == 10 * (4 * 32 * 32 + 2 * 32 * 64)


@pytest.fixture
def outcomes(toy_suite, executor):
    """The suite and the outcomes of its cells, the static methods and pabee alone."""
    suite = load_suite(str(toy_suite))
    wanted = parse_only("method=finetune,method=first-k,method=pabee")
    plan = Planner(None, "fp32").plan(suite, wanted)
    with PlanProgress(Console(quiet=True)) as progress:
        return suite, run_plan(plan, executor, progress), executor


def test_tables_of_a_suite(outcomes):
    suite, found, executor = outcomes
    records = {outcome.cell.job.spec.key: executor.run(outcome.cell.job).record() for outcome in found}
    tables = Collector(suite, found).tables(records)
    assert set(tables) == {"points", "exits", "summary", "runs", "costs"}
    points = tables["points"].set_index(["method", "rule", "setting"])
    listed = list(points.loc["pabee"].index)
    grid = [
        ("budgeted", "exit=2"), ("budgeted", "exit=1"), ("entropy", "S=0"), ("entropy", "S=0.3"),
        ("entropy", "S=0.6"), ("patience", "patience=1"),
    ]  # fmt: skip
    # The grid, and the settings that tables show, chosen among all there are.
    assert [pair for pair in listed if pair in grid] == grid
    assert {rule for rule, _ in set(listed) - set(grid)} == {"entropy"} and len(listed) <= len(grid) + 3
    assert list(points.loc["first-1"].index) == [("budgeted", "exit=1")]
    assert list(points.loc["finetune"].index) == [("budgeted", "exit=2")]
    assert set(points["seeds"]) == {2} and set(points["convention"]) == {"full_2mac@128"}
    exits = tables["exits"].set_index(["method", "exit"])["score_mean"]
    assert points.loc[("pabee", "budgeted", "exit=1"), "score_mean"] == exits["pabee", 1]
    summary = tables["summary"].set_index(["method", "rule"])
    assert summary.loc[("pabee", "entropy"), "full_score"] == exits["pabee", 2]
    for column in ("setting_at_1pt", "setting_at_2x"):
        chosen = summary.loc[("pabee", "entropy"), column]
        assert chosen == "" or ("entropy", chosen) in listed
    runs = tables["runs"]
    assert runs.set_index(["method", "seed"])["exit_mean"].notna().all()
    pabee = runs[runs["method"] == "pabee"]["exit_mean"]
    assert pabee.mean() == pytest.approx(exits["pabee"].mean())
    assert set(runs["status"]) == {"ok"} and set(runs["training_steps"]) == {12}
    assert runs.set_index("method").loc["first-1", "head"].tolist() == ["own pooler"] * 2
    costs = tables["costs"].set_index("component")
    assert costs.loc["transformer layer", "flops"] == 2 * (128 * 8192 + 2 * 128 * 128 * 32)
    assert set(tables["costs"]["backbone"]) == {"toy"}


def test_what_was_recorded_at_every_step_is_counted_over_seeds(outcomes):
    suite, found, _ = outcomes
    pabee = [outcome for outcome in found if outcome.cell.label == "pabee"]
    records = {outcome.cell.job.spec.key: {"history": [{"series": {"angle": [100.0 * seed, 179.0]}}]}
               for seed, outcome in enumerate(pabee)}  # fmt: skip
    failed = [replace(outcome, status="failed") for outcome in found if outcome.cell.label != "pabee"]
    table = Collector(suite, [*pabee, *failed]).tables(records)["histograms"]
    assert set(table["method"]) == {"pabee"} and len(table) == 36
    counted = table[table["count"] > 0][["low", "high", "count"]]
    assert counted.values.tolist() == [[0.0, 5.0, 1], [100.0, 105.0, 1], [175.0, 180.0, 2]]


def test_a_run_without_a_result_has_no_mean_over_exits(outcomes):
    _, found, _ = outcomes
    assert exit_mean(replace(found[0], trace=None)) is None
    assert 0 <= exit_mean(found[0]) <= 1


def test_failures_are_rows_and_leave_the_seeds_that_worked(outcomes):
    suite, found, _ = outcomes
    found = [outcome for outcome in found if outcome.cell.label == "pabee"]
    broken = [
        Outcome(outcome.cell, "failed", "why") if outcome.cell.seed == 2 else outcome for outcome in found
    ]
    tables = Collector(suite, broken).tables({})
    assert set(tables["points"]["seeds"]) == {1} and tables["points"]["score_std"].isna().all()
    assert tables["runs"]["status"].tolist() == ["ok", "failed"]
    assert tables["runs"]["reason"].tolist() == ["", "why"]
    hopeless = [
        Outcome(replace(outcome.cell, job=None, problem="no data"), "failed", "no data") for outcome in found
    ]
    (name,) = tables_of_none = Collector(suite, hopeless).tables({})
    assert name == "runs" and set(tables_of_none["runs"]["head"]) == {""}


def test_without_a_rule_that_applies_the_exits_are_still_there(outcomes):
    suite, found, _ = outcomes
    found = [outcome for outcome in found if outcome.cell.label == "pabee"]
    tables = Collector(suite.model_copy(update={"rules": {"score-patience": None}}), found).tables({})
    assert set(tables) == {"exits", "runs", "costs"}


@pytest.fixture
def blind(toy_suite, executor):
    """A blind suite of pabee alone with its outcomes on both splits."""
    suite = load_suite(str(toy_suite)).model_copy(update={"protocol": "blind"})
    choice = next(choice for choice in suite.choices if choice.label == "pabee")
    choice = choice.model_copy(update={"options": choice.options.model_copy(update={"holdout": 0.25})})
    suite = suite.model_copy(update={"choices": [choice]})
    with PlanProgress(Console(quiet=True)) as progress:
        return suite, run_plan(Planner(None, "fp32").plan(suite), executor, progress, suite.splits)


def test_a_blind_suite_has_rows_of_both_splits(blind):
    suite, found = blind
    tables = Collector(suite, found).tables({})
    points = tables["points"].set_index(["split", "rule", "setting"])
    settings = [list(points.loc[split].index) for split in ("dev", "holdout")]
    assert settings[0] == settings[1] and 6 <= len(settings[0]) <= 9
    assert tables["points"]["split"].iloc[0] == "dev"
    exits = tables["exits"].set_index(["split", "exit"])["score_mean"]
    for split in ("dev", "holdout"):
        assert points.loc[(split, "budgeted", "exit=2"), "score_mean"] == exits[split, 2]
        # a static setting costs the same on any rows, so the reference is that of the split's own samples
        assert points.loc[(split, "budgeted", "exit=1"), "speedup_flops"] == pytest.approx(
            points.loc[("dev", "budgeted", "exit=1"), "speedup_flops"]
        )
    assert set(tables["summary"]["rule"]) == {"budgeted", "entropy", "patience"}
    assert set(tables["runs"]["configurations"]) == {1}


def test_labels_of_dev_change_no_choice_of_a_blind_suite(blind):
    suite, found = blind
    flipped = [
        replace(outcome, trace=replace(outcome.trace, labels=1 - outcome.trace.labels)) for outcome in found
    ]
    first, second = (Collector(suite, outcomes).tables({}) for outcomes in (found, flipped))
    for table in (first, second):
        points, summary = table["points"], table["summary"].set_index("rule")
        held = points[(points["split"] == "holdout") & (points["rule"] == "entropy")]
        full = table["exits"].set_index(["split", "exit"])["score_mean"]["holdout", 2]
        fast, good = chosen_settings(held, full)
        shown = points[(points["split"] == "dev") & (points["rule"] == "entropy")].set_index("setting")
        assert summary.loc["entropy", "speedup_at_1pt"] == shown.loc[fast, "speedup_flops"]
        if good is not None:
            assert summary.loc["entropy", "score_at_2x"] == shown.loc[good, "score_mean"]
    assert first["summary"]["speedup_at_1pt"].equals(second["summary"]["speedup_at_1pt"])
    turned = first["summary"]["full_score"] + second["summary"]["full_score"]
    assert turned.tolist() == pytest.approx([1.0] * 3)


def test_runs_state_how_many_configurations_a_method_had(blind):
    suite, found = blind
    (choice,) = suite.choices
    searched = choice.model_copy(update={"searched": {"lr": [1e-3, 5e-3], "epochs": [1, 2, 3]}})
    tables = Collector(suite.model_copy(update={"choices": [searched]}), found).tables({})
    assert tables["runs"]["configurations"].tolist() == [6, 6]


def with_similarities(outcome, split="trace"):
    """The outcome with similarities of 0.5 and 0.75 at its two exits, and of 0.5 and NaN for its last sample."""
    trace = getattr(outcome, split)
    similarities = torch.full((2, trace.samples), 0.5)
    similarities[1] = 0.75
    similarities[1, -1] = float("nan")
    return replace(outcome, **{split: replace(trace, similarities=similarities)})


def test_checks_and_changes_of_the_alignment_rule(outcomes):
    suite, found, _ = outcomes
    pabee = [with_similarities(outcome) for outcome in found if outcome.cell.label == "pabee"]
    others = [outcome for outcome in found if outcome.cell.label == "first-1"]
    # No R of 9 fits two exits, so there are checks and no points.
    rules = {"cka;theta=0.3": [9.0], "cka-abs;theta=0.06": [9.0], "budgeted": None}
    swept = suite.model_copy(update={"rules": rules})
    tables = Collector(swept, [*pabee, *others]).tables({})
    made = 2 * (pabee[0].trace.samples - 1)  # of both seeds
    assert tables["checks"].drop(columns=["task", "backbone"]).values.tolist() == [
        ["pabee", "dev", "cka", "0.3", made, made], ["pabee", "dev", "cka-abs", "0.06", made, 0],
    ]  # fmt: skip
    counted = tables["histograms"]
    assert set(counted["quantity"]) == {"delta"}
    assert counted[counted["count"] > 0][["low", "high", "count"]].values.tolist() == [[0.25, 0.26, made]]


def test_without_an_alignment_rule_nothing_is_checked(outcomes):
    suite, found, _ = outcomes
    tables = Collector(suite, [with_similarities(outcome) for outcome in found[-2:]]).tables({})
    assert "checks" not in tables and "histograms" not in tables


def test_shorter_than_the_median():
    assert shorter_half(TRACE).tolist() == [True, False, True, False]  # of 3, 5, 3, 7 the median is 4
    even = replace(TRACE, lengths=torch.full((4,), 3))
    assert not shorter_half(even).any()


def test_a_cut_is_compared_with_the_backbone_on_the_same_samples(toy_job):
    job = toy_job("finetune")
    accounting = Accounting(convention("linear_mac"), None)
    _, cost = full_backbone("toy", 2)
    measured = replace(MEASURED, accounting=accounting, reference=reference_flops(cost, TRACE, accounting))
    cut = measured.cut(job, shorter_half(TRACE))
    three, five, seven = (
        int(full_flops(cost, np.array([length]), accounting.convention)[0]) for length in (3, 5, 7)
    )
    assert cut.trace.lengths.tolist() == [3, 3]
    assert (measured.reference, cut.reference) == (2 * three + five + seven, 2 * three)


def test_points_on_simple_inputs_only_where_a_section_asks(outcomes):
    suite, found, _ = outcomes
    assert "simple" not in Collector(suite, found).tables({})
    asked = suite.model_copy(update={"sections": read_sections([{"kind": "simple", "methods": ["pabee"]}])})
    table = Collector(asked, found).tables({})["simple"].set_index(["method", "rule", "setting"])
    # Static methods have their only point, pabee those of its own rule.
    assert list(table.index) == [("finetune", "budgeted", "exit=2"), ("first-1", "budgeted", "exit=1"),
                                 ("pabee", "patience", "patience=1")]  # fmt: skip
    assert set(table["seeds"]) == {2} and set(table["split"]) == {"dev"}
    trace = next(outcome.trace for outcome in found if outcome.cell.label == "finetune")
    rows = shorter_half(trace)
    right = [float((outcome.trace.answers()[0] == outcome.trace.labels)[rows].float().mean())
             for outcome in found if outcome.cell.label == "finetune"]  # fmt: skip
    assert table.loc[("finetune", "budgeted", "exit=2"), "score_mean"] == pytest.approx(np.mean(right))
    # All are charged 128 tokens, so a static exit saves as much on these as on all.
    points = Collector(asked, found).tables({})["points"].set_index(["method", "rule", "setting"])
    for place in table.index[:2]:
        assert table.loc[place, "speedup_flops"] == pytest.approx(points.loc[place, "speedup_flops"])


def test_layers_only_of_the_methods_that_a_section_is_about(outcomes):
    suite, found, _ = outcomes
    assert "layers" not in Collector(suite, found).tables({})
    section = {"kind": "shapes", "methods": ["pabee", "first-1"]}
    asked = suite.model_copy(update={"sections": read_sections([section])})
    table = Collector(asked, found).tables({})["layers"]
    # Two seeds are one model; first-1 has one layer.
    assert [tuple(row) for row in table[["method", "layer", "ffn_width"]].to_numpy()] == [
        ("first-1", 1, 64), ("pabee", 1, 64), ("pabee", 2, 64),
    ]  # fmt: skip
    assert set(table["convention"]) == {"full_2mac@128"} and set(table["backbone"]) == {"toy"}


@pytest.mark.parametrize(("default", "settings"), [
    ("cka;theta=0.3", ["theta=0.3;R=1"]), ("cka", ["theta=0.3;R=1", "theta=0.1;R=1"]),
    ("cka;theta=9", ["theta=0.3;R=1", "theta=0.1;R=1"]), ("max-prob", ["exit=1"]),
])  # fmt: skip
def test_simple_inputs_are_shown_under_the_knobs_of_the_default_rule(outcomes, default, settings):
    suite, found, _ = outcomes
    rules = {"budgeted": [1.0], "cka;theta=0.3": [1.0], "cka;theta=0.1": [1.0]}
    collector = Collector(suite.model_copy(update={"rules": rules}), found)
    shown = collector._shown_rules(with_similarities(found[-1]).trace, default)
    assert [rule.setting(threshold) for rule, thresholds in shown for threshold in thresholds] == settings


def test_samples_that_skipped_every_layer_are_counted_and_not_scored(outcomes):
    suite, found, _ = outcomes
    pabee = [outcome for outcome in found if outcome.cell.label == "pabee"]
    trace = pabee[0].trace
    executed = torch.ones(2, trace.samples, dtype=torch.bool)
    executed[0, : trace.samples // 2] = False
    gated = [replace(outcome, trace=replace(outcome.trace, executed=executed)) for outcome in pabee]
    budgeted = suite.model_copy(update={"rules": {}})
    exits = Collector(budgeted, gated).tables({})["exits"].set_index("exit")
    assert exits["unanswered"].to_dict() == {1: trace.samples // 2, 2: 0}
    half = [
        (one.trace.answers()[0] == one.trace.labels)[trace.samples // 2 :].double().mean() for one in pabee
    ]
    assert exits["score_mean"][1] == pytest.approx(float(sum(half)) / 2)
    assert set(Collector(budgeted, pabee).tables({})["exits"]["unanswered"]) == {0}
