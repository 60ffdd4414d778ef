from dataclasses import replace

import pandas as pd
import pytest

from eebench.report.learning import NOTE, at_floor, floors, judged, marked, unlearned_table


def with_floor(results, task, floor):
    """The results with what one answer scores on a task."""
    tasks = {**results.provenance.get("tasks", {}), task: {"metric": "accuracy", "one_class": floor}}
    return replace(results, provenance={**results.provenance, "tasks": tasks})


@pytest.fixture
def first(results):
    """Task and method of the first row, and the score of its last exit on dev."""
    row = results.exits[results.exits["split"] == "dev"].iloc[0]
    own = results.exits[(results.exits["task"] == row["task"]) & (results.exits["method"] == row["method"])]
    return row["task"], row["method"], float(own[own["split"] == "dev"]["score_mean"].iloc[-1])


def test_a_last_exit_at_the_floor_did_not_learn(results, first):
    task, method, score = first
    runs = judged(with_floor(results, task, score)).runs
    said = runs[(runs["task"] == task) & (runs["method"] == method)]["learned"]
    assert said.str.startswith("no: exit ").all() and len(said) > 0
    fine = judged(with_floor(results, task, score - 0.001)).runs
    assert not fine[(fine["task"] == task) & (fine["method"] == method)]["learned"].str.startswith("no").any()


def test_what_training_noticed_comes_first(results, first):
    task, _, score = first
    noticed = replace(results, runs=results.runs.assign(learned="no: exit 2 gives one answer to every row"))
    assert set(judged(with_floor(noticed, task, score)).runs["learned"]) == {
        "no: exit 2 gives one answer to every row"
    }


def test_the_table_gives_the_reason(results, first):
    task, method, score = first
    assert unlearned_table(judged(with_floor(results, task, -1.0)), {}) == ""
    text = unlearned_table(judged(with_floor(results, task, score)), {method: "The method"})
    assert "The method" in text and f"one answer for every sample {100 * score:.1f}" in text


def test_one_number_has_no_correlation(results):
    exits = results.exits.assign(metric="pearson")
    assert set(floors(replace(results, exits=exits)).values()) == {0.0}


def test_scores_at_the_floor_are_marked():
    point = pd.Series({"task": "mrpc", "metric": "f1", "score_mean": 0.8122})
    assert marked(point, {("mrpc", "f1"): 0.8122}) == NOTE[0] == "‡"
    assert marked(point, {("mrpc", "f1"): 0.8121}) == ""
    assert marked(point, {}) == ""
    assert not at_floor(1.0, None)
