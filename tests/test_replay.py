import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from eebench.errors import UserError
from eebench.replay import CostTable, exit_indices, near_threshold, replay
from eebench.rules.catalogue import RULES, find_rule, rule_family
from eebench.trace import Trace


def random_trace(exits=5, samples=300, classes=3, seed=0):
    torch.manual_seed(seed)
    growing = torch.linspace(0.3, 3.0, exits)[:, None, None]
    return Trace(
        tuple(range(1, exits + 1)),
        torch.randn(exits, samples, classes) * growing,
        torch.randint(0, classes, (samples,)),
        torch.randint(4, 60, (samples,)),
        torch.arange(samples),
    )


def one_by_one(rule, trace, threshold):
    """The exit of each sample, found by asking the rule at one exit after the other."""
    chosen = []
    for row in range(trace.samples):
        state = rule.start(1, torch.device("cpu"))
        for index, layer in enumerate(trace.exit_layers):
            if index == len(trace.exit_layers) - 1:
                break
            signals = trace.signals(index, slice(row, row + 1))
            if bool(rule.leaves(rule.criterion(layer, signals, state), threshold)):
                break
        chosen.append(index)
    return torch.tensor(chosen)


CLASSIFYING = [rule.name for rule in RULES.values() if rule.classification and rule.needs <= {"logits"}]


@pytest.mark.parametrize("name", CLASSIFYING)
def test_replay_equals_asking_at_each_exit_in_turn(name):
    trace, rule = random_trace(), find_rule(name)
    grid = rule.grid(trace.geometry)
    expected = torch.stack([one_by_one(rule, trace, threshold) for threshold in grid])
    assert torch.equal(exit_indices(rule, trace, grid), expected)
    replayed = replay(rule, trace, grid)
    counts = torch.stack([torch.bincount(row, minlength=5) for row in expected])
    assert torch.equal(replayed.exits, counts)
    answers = trace.answers().gather(0, expected)
    for setting, row in enumerate(answers):
        confusion = np.zeros((3, 3), dtype=np.int64)
        np.add.at(confusion, (trace.labels.numpy(), row.numpy()), 1)
        assert replayed.confusion[setting].tolist() == confusion.tolist()


def test_the_order_of_settings_is_the_order_asked_for():
    trace, rule = random_trace(), find_rule("entropy")
    grid = [0.9, 0.1, 0.5, 0.5]
    shuffled = replay(rule, trace, grid)
    for place, threshold in enumerate(grid):
        assert torch.equal(shuffled.exits[place], replay(rule, trace, [threshold]).exits[0])


def test_chunks_change_nothing(monkeypatch):
    import eebench.replay as module

    trace, rule = random_trace(), find_rule("patience")
    whole = replay(rule, trace, [1.0, 2.0])
    monkeypatch.setattr(
        module, "chunks", lambda samples: (slice(s, min(s + 7, samples)) for s in range(0, samples, 7))
    )
    assert torch.equal(replay(rule, trace, [1.0, 2.0]).confusion, whole.confusion)


def test_extremes_give_the_first_exit_and_full_depth():
    trace = random_trace()
    assert (exit_indices(find_rule("entropy"), trace, [0.0]) == 4).all()
    assert (exit_indices(find_rule("entropy"), trace, [math.log(3) + 0.01]) == 0).all()
    assert (exit_indices(find_rule("max-prob"), trace, [1.01]) == 4).all()
    assert (exit_indices(find_rule("max-prob"), trace, [0.3]) == 0).all()


def test_costs_are_summed_over_samples_by_hand():
    # Two exits; sure samples leave at the first one.
    sure, unsure = [10.0, 0.0], [0.1, 0.0]
    trace = Trace(
        (1, 2), torch.tensor([[sure, unsure, sure], [sure, sure, sure]]), torch.tensor([0, 0, 1]),
        torch.tensor([5, 9, 9]), torch.arange(3),
    )  # fmt: skip
    table = CostTable(torch.tensor([[10, 20], [30, 70]]), torch.tensor([0, 1, 1]))
    replayed = replay(find_rule("entropy"), trace, [0.0, 0.3], table)
    assert replayed.total_cost.tolist() == [30 + 70 + 70, 10 + 70 + 20]
    assert replayed.exits.tolist() == [[0, 3], [2, 1]]
    assert replayed.confusion[1].tolist() == [[2, 0], [1, 0]]
    assert replayed.mean_exit((1, 2)).tolist() == [2.0, pytest.approx(4 / 3)]


def test_cost_sums_stay_exact_beyond_what_a_float_can_count():
    huge = 2**53 + 1
    trace = Trace((1,), torch.zeros(1, 3, 2), torch.zeros(3).long(), torch.ones(3), torch.arange(3))
    table = CostTable(torch.tensor([[huge]]), torch.zeros(3).long())
    assert replay(find_rule("budgeted"), trace, [1.0], table).total_cost.tolist() == [3 * huge]


def test_mean_exit_counts_layers_not_exits():
    trace = random_trace(exits=2)
    sparse = Trace((3, 6), trace.logits, trace.labels, trace.lengths, trace.ids)
    assert replay(find_rule("budgeted"), sparse, [3.0, 6.0]).mean_exit(sparse.exit_layers).tolist() == [
        3.0,
        6.0,
    ]


def test_regression_has_no_confusion_and_few_rules():
    trace = Trace((1, 2), torch.randn(2, 4, 1), torch.randn(4), torch.ones(4), torch.arange(4))
    assert replay(find_rule("budgeted"), trace, [1.0]).exits.tolist() == [[4, 0]]
    with pytest.raises(UserError, match="'entropy' is not for regression.*budgeted"):
        replay(find_rule("entropy"), trace, [0.1])
    with pytest.raises(UserError, match="'score-patience' is not for classification"):
        replay(find_rule("score-patience"), random_trace(), [1.0])


def test_samples_near_a_threshold_are_counted():
    half = math.log(2)
    trace = Trace((1, 2), torch.zeros(2, 2, 2), torch.zeros(2).long(), torch.ones(2), torch.arange(2))
    rule = find_rule("entropy")
    assert near_threshold(rule, trace, half).tolist() == [True, True]
    assert near_threshold(rule, trace, half - 0.01).tolist() == [False, False]
    assert near_threshold(find_rule("patience"), trace, 1.0).tolist() == [True, True]  # a tie of classes


def test_a_gate_near_its_threshold_counts_but_where_it_never_skips():
    # Three samples, two layers: the first gate is near for the first sample, the second for the third.
    trace = Trace((1, 2), torch.zeros(2, 3, 2), torch.zeros(3).long(), torch.ones(3), torch.arange(3))
    gates = torch.tensor([[0.5, 1.0, 0.1], [0.1, 0.1, 0.50005]])
    gated = replace(trace, gates=gates, gate_threshold=0.5)
    rule = find_rule("budgeted")
    assert near_threshold(rule, gated, 2.0).tolist() == [True, False, True]
    assert near_threshold(rule, replace(gated, gate_threshold=1.0), 2.0).tolist() == [False] * 3


def test_near_is_within_the_margin_of_either_side_and_only_where_the_layer_ran():
    """Learned scores and gates in binary fractions, so that a distance can be the margin exactly."""
    scores = torch.tensor([[0.25, 0.75, 0.125, 0.875, 0.25], [0.5] * 5])
    trace = Trace(
        (1, 2), torch.zeros(2, 5, 2), torch.zeros(5).long(), torch.ones(5), torch.arange(5), scores=scores,
        executed=torch.tensor([[True, True, True, True, False], [True] * 5]),
    )  # fmt: skip
    rule = find_rule("learned")
    # The last exit's 0.5 is never compared with anything.
    assert near_threshold(rule, trace, 0.5, margin=0.25).tolist() == [True, True, False, False, False]
    gated = replace(trace, gates=scores, gate_threshold=0.5)
    assert near_threshold(rule, replace(gated, scores=scores + 4), 0.5, margin=0.25).all()
    far = replace(gated, gates=scores[:1].repeat(2, 1), scores=scores + 4)
    assert near_threshold(rule, far, 0.5, margin=0.25).tolist() == [True, True, False, False, True]


def test_near_at_any_exit_but_the_last_counts():
    scores = torch.tensor([[0.5, 0.9, 0.9], [0.9, 0.5, 0.9], [0.9, 0.9, 0.5]])
    trace = replace(random_trace(exits=3, samples=3), scores=scores)
    assert near_threshold(find_rule("learned"), trace, 0.5).tolist() == [True, True, False]


def test_an_empty_grid_is_an_empty_answer():
    assert replay(find_rule("entropy"), random_trace(), []).exits.shape == (0, 5)


def test_learned_scores_are_replayed_too():
    trace = random_trace()
    trace = replace(trace, scores=torch.rand(5, trace.samples))
    rule = find_rule("learned")
    grid = rule.grid(trace.geometry)
    expected = torch.stack([one_by_one(rule, trace, threshold) for threshold in grid])
    assert torch.equal(exit_indices(rule, trace, grid), expected)


def test_close_scores_are_replayed_too():
    torch.manual_seed(0)
    trace = Trace((1, 2, 3, 4), torch.randn(4, 50, 1), torch.randn(50), torch.ones(50), torch.arange(50))
    for rule in rule_family("score-patience"):
        expected = torch.stack([one_by_one(rule, trace, threshold) for threshold in (1.0, 2.0)])
        assert torch.equal(exit_indices(rule, trace, [1.0, 2.0]), expected)


@pytest.mark.parametrize("ask", [replay, exit_indices])
def test_a_rule_without_its_signals_names_those_that_would_work(ask):
    with pytest.raises(
        UserError, match="needs the signal 'score', which this model has not; .*work here: budgeted, ent"
    ):
        ask(find_rule("learned"), random_trace(), [0.5])
