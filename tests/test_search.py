import math
from dataclasses import replace

import pytest
from rich.console import Console

from eebench.cli.progress import PlanProgress
from eebench.engine.local import Outcome, run_plan
from eebench.errors import ConfigError
from eebench.plan import Planner
from eebench.search import judge, known_plan, search_plan, searched, stored_outcomes, trials, tune
from eebench.suites import load_suite
from eebench.training.evaluation import exit_scores

METHODS = "methods: [finetune, {name: gaml, options: {ga: none}}, pabee, shallow-deep]\n"


@pytest.fixture
def suite(toy_suite):
    """A suite whose every method searches lr, gaml alpha too."""
    text = toy_suite.read_text(encoding="utf-8")
    head, rules = text.split("methods:")[0], text[text.index("rules:") :]
    head = head.replace("epochs: 2", "epochs: 1, holdout: 0.25, patience: null")
    toy_suite.write_text(
        f"{head}search: {{lr: [1.0e-6, 5.0e-3], alpha: [0.2, 0.6]}}\n{METHODS}{rules}", encoding="utf-8"
    )
    return load_suite("moods.yaml")


def run(plan, executor, splits=("dev",)):
    with PlanProgress(Console(quiet=True)) as progress:
        return run_plan(plan, executor, progress, splits)


def failed(found):
    return [Outcome(trial.cell, "failed", f"why {number}") for number, trial in enumerate(found)]


def test_every_combination_is_a_run_with_the_first_seed(suite):
    found = trials(Planner(None, "fp32"), suite)
    assert [(trial.place[0], dict(trial.values)) for trial in found[:6]] == [
        ("finetune", {"lr": 1e-6}), ("finetune", {"lr": 5e-3}),
        ("gaml", {"lr": 1e-6, "alpha": 0.2}), ("gaml", {"lr": 1e-6, "alpha": 0.6}),
        ("gaml", {"lr": 5e-3, "alpha": 0.2}), ("gaml", {"lr": 5e-3, "alpha": 0.6}),
    ]  # fmt: skip
    assert {trial.cell.seed for trial in found} == {1} and len(found) == 10
    assert found[3].cell.label == "gaml with lr=1e-06, alpha=0.6"
    assert (found[3].cell.job.options.lr, found[3].cell.job.options.alpha) == (1e-6, 0.6)
    assert len(search_plan(found).jobs) == 8  # pabee and shallow-deep are one run
    assert [choice.label for choice in searched(suite)] == ["finetune", "gaml", "pabee", "shallow-deep"]


def test_only_cuts_the_search_but_for_its_seed(suite):
    found = trials(Planner(None, "fp32"), suite, {"method": {"pabee"}, "seed": {"2"}})
    assert [trial.place for trial in found] == [("pabee", "moods", "toy")] * 2
    with pytest.raises(ConfigError, match="--only method=pabbe"):
        trials(Planner(None, "fp32"), suite, {"method": {"pabbe"}})


def test_the_best_by_the_mean_over_exits_serves_all_seeds(suite, executor):
    planner = Planner(None, "fp32")
    found = trials(planner, suite, {"method": {"pabee"}})
    outcomes = run(search_plan(found), executor)
    means = [sum(exit_scores(outcome.trace, "accuracy")) / 2 for outcome in outcomes]
    assert means[1] > means[0]
    tuned = tune(suite, found, outcomes)
    cells = [cell for cell in planner.plan(tuned).cells if cell.label == "pabee"]
    assert [cell.job.options.lr for cell in cells] == [5e-3, 5e-3]
    # the search's run is the first seed's, under the same key as if the value stood in the suite
    assert cells[0].job.spec.key == found[1].cell.job.spec.key and executor.run(cells[0].job).is_done()


def test_the_held_out_slice_judges_under_a_blind_protocol(suite, executor):
    blind = suite.model_copy(update={"protocol": "blind"})
    assert (blind.selection, blind.splits, suite.splits) == ("holdout", ("dev", "holdout"), ("dev",))
    found = trials(Planner(None, "fp32"), blind, {"method": {"pabee"}})
    outcomes = run(search_plan(found), executor, (blind.selection,))
    assert [outcome.trace for outcome in outcomes] == [None, None]  # dev is not even traced
    assert not list(executor.store.root.glob("*/trace-dev*"))
    (choice,) = (choice for choice in tune(blind, found, outcomes).choices if choice.label == "pabee")
    scores = [judge(outcome, "holdout") for outcome in outcomes]
    assert choice.tuned["moods", "toy"].values["lr"] == [1e-6, 5e-3][scores.index(max(scores))]


def test_of_equals_the_first_wins_and_a_failure_is_worst(suite, executor):
    found = trials(Planner(None, "fp32"), suite, {"method": {"gaml"}})[:3]
    (only,) = run(search_plan(found[:1]), executor)
    broken, *same = [replace(only, cell=trial.cell) for trial in found]
    outcomes = [Outcome(broken.cell, "failed", "why"), *same]
    (choice,) = (choice for choice in tune(suite, found, outcomes).choices if choice.label == "gaml")
    assert choice.tuned["moods", "toy"].values == {"lr": 1e-6, "alpha": 0.6}


def test_a_score_that_is_no_number_is_worst(suite, executor):
    found = trials(Planner(None, "fp32"), suite, {"method": {"pabee"}})
    (outcome,) = run(search_plan(found[:1]), executor)
    broken = replace(outcome.trace, logits=outcome.trace.logits[:, :, :1] * math.nan)
    task = replace(outcome.cell.task, metrics=("pearson",))
    still = replace(outcome, trace=broken, cell=replace(outcome.cell, task=task))
    assert math.isnan(exit_scores(broken, "pearson")[0]) and judge(still, "dev") == -math.inf
    assert judge(outcome, "holdout") == -math.inf


def test_when_all_fail_the_cells_fail_with_the_reason(suite):
    planner = Planner(None, "fp32")
    found = trials(planner, suite, {"method": {"pabee"}})
    cells = planner.plan(tune(suite, found, failed(found)), {"method": {"pabee"}}).cells
    assert [cell.job for cell in cells] == [None, None]
    assert {cell.problem for cell in cells} == {
        "none of the 2 runs of its search has a result; the first: why 0"
    }


def test_missing_data_are_the_reason_themselves(suite, toy_suite):
    (toy_suite.parent / "train.csv").unlink()
    planner, missing = Planner(None, "fp32"), load_suite("moods.yaml")
    found = trials(planner, missing)
    outcomes = [Outcome(trial.cell, "failed", trial.cell.problem) for trial in found]
    problems = {cell.problem for cell in planner.plan(tune(missing, found, outcomes)).cells}
    assert len(problems) == 1 and "train.csv" in problems.pop()


def test_the_plan_is_final_when_the_search_lies_in_the_store(suite, executor):
    planner, only = Planner(None, "fp32"), {"method": {"pabee"}}
    plan, waiting = known_plan(planner, suite, executor.store, only)
    assert waiting == 2 and [cell.label for cell in plan.cells] == [
        "pabee with lr=1e-06", "pabee with lr=0.005",
    ]  # fmt: skip
    found = trials(planner, suite, only)
    assert stored_outcomes(found, executor.store, "dev") is None
    run(search_plan(found), executor)
    assert stored_outcomes(found, executor.store, "holdout") is None  # no trace on that split yet
    plan, waiting = known_plan(planner, suite, executor.store, only)
    assert waiting == 0 and [(cell.label, cell.seed, cell.job.options.lr) for cell in plan.cells] == [
        ("pabee", 1, 5e-3), ("pabee", 2, 5e-3),
    ]  # fmt: skip


def test_without_a_search_there_is_nothing_to_try(toy_suite, executor):
    suite = load_suite(str(toy_suite))
    planner = Planner(None, "fp32")
    assert trials(planner, suite) == [] and stored_outcomes([], executor.store, "dev") == []
    plan, waiting = known_plan(planner, suite, executor.store)
    assert waiting == 0 and plan == planner.plan(suite)
