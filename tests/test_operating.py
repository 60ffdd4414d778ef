"""Operating points from the whole curve: no grid between a wish and what can be had."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from eebench import operating
from eebench.cost.conventions import convention
from eebench.cost.operations import ModelCost, Operations, Polynomial
from eebench.operating import Curve, curve_of, intervals, shortest, values_of
from eebench.replay import replay
from eebench.rules.catalogue import RULES, find_rule
from eebench.sweep import Accounting, Measured, point_rows
from eebench.trace import Trace

CONTINUOUS = [name for name, rule in RULES.items() if not rule.counts]


def measured(samples=300, classes=2, exits=4, seed=0, scale=2.0):
    """A made-up trace whose later exits are surer and more often right, with a learned score and costs."""
    random = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (samples,), generator=random)
    logits = scale * torch.randn(exits, samples, classes, generator=random)
    for exit in range(exits):
        logits[exit, torch.arange(samples), labels] += 1.5 * exit
    trace = Trace(
        tuple(range(1, exits + 1)), logits, labels, torch.full((samples,), 8), torch.arange(samples),
        scores=torch.rand(exits, samples, generator=random),
    )  # fmt: skip
    cost = ModelCost(
        embedding=Operations(Polynomial(0)), layers=(Operations(Polynomial(100), layers=1),) * exits,
        exits={layer: Operations(Polynomial(1)) for layer in trace.exit_layers}, classifier=Operations(Polynomial(0)),
    )  # fmt: skip
    accounting = Accounting(convention("linear_mac"), None)
    return Measured(trace, cost, accounting, exits, samples * 100 * exits, ("accuracy",))


def brute(one, rule, thresholds):
    """Score and speed-up of each threshold, replayed on its own."""
    return [
        (row["score"], row["full_flops"] / row["flops"])
        for threshold in thresholds
        for row in point_rows(one, rule, [threshold])
    ]


@pytest.mark.parametrize("name", CONTINUOUS)
def test_the_curve_has_every_setting_that_decides_differently(name):
    one, rule = measured(60), find_rule(name)
    curve = curve_of(rule, [one])
    tried = np.linspace(0.0, 1.2, 3001)
    attained = set(zip(curve.scores.round(9), curve.speedups.round(9), strict=True))
    for score, speedup in brute(one, rule, tried.tolist()):
        assert (round(score, 9), round(speedup, 9)) in attained
    # From the strictest, where every sample takes all layers, to the loosest.
    assert curve.speedups[0] == min(curve.speedups) and curve.speedups[-1] == max(curve.speedups)


@pytest.mark.parametrize("name", CONTINUOUS)
def test_the_text_of_a_chosen_threshold_reproduces_its_point_exactly(name):
    one, rule = measured(), find_rule(name)
    curve = curve_of(rule, [one])
    for place in range(0, len(curve.scores), 37):
        text = rule.setting(curve.threshold(place))
        threshold = float(text.rpartition("=")[2])
        rule.check(threshold, one.trace.geometry)
        ((score, speedup),) = brute(one, rule, [threshold])
        assert (score, speedup) == (curve.scores[place], pytest.approx(curve.speedups[place], rel=1e-12))


@pytest.mark.parametrize(
    "name", [name for name in RULES if RULES[name].counts and RULES[name].classification]
)
def test_rules_that_count_have_their_grid(name):
    one, rule = measured(), find_rule(name)
    if not rule.needs <= one.trace.kinds:
        cost = replace(one.cost, extras={"similarity": Operations(Polynomial(1))})
        one = replace(one, cost=cost, trace=replace(one.trace, similarities=torch.rand(4, one.trace.samples)))
    curve = curve_of(rule, [one])
    assert [curve.threshold(place) for place in range(len(curve.scores))] == rule.grid(one.trace.geometry)


def test_a_wish_between_two_settings_of_the_grid_is_met():
    """Three classes and unsure exits: the grid jumps from one side of 2x to far on the other, the curve has 2x."""
    one, rule = measured(classes=3, exits=6), find_rule("entropy")
    one = replace(one, trace=replace(one.trace, logits=0.02 * one.trace.logits))
    grid = [speedup for _, speedup in brute(one, rule, rule.grid(one.trace.geometry))]
    assert not any(1.9 < speedup < 2.1 for speedup in grid)
    curve = curve_of(rule, [one])
    assert abs(curve.speedups[curve.nearest(2.0)] - 2.0) < 0.01
    assert 1.995 <= curve.speedups[curve.slowest_at(2.0)] < 2.02


def test_rules_that_order_samples_alike_choose_alike():
    one = measured()
    points = []
    for name in ("entropy", "normalized-entropy", "max-prob"):
        curve = curve_of(find_rule(name), [one])
        place = curve.nearest(2.0)
        points.append((round(curve.speedups[place], 6), round(curve.scores[place], 6)))
    assert len(set(points)) == 1


def test_seeds_share_their_thresholds():
    seeds, rule = [measured(seed=seed) for seed in (1, 2)], find_rule("entropy")
    curve = curve_of(rule, seeds)
    place = curve.nearest(2.0)
    apart = [brute(one, rule, [curve.threshold(place)])[0] for one in seeds]
    assert curve.scores[place] == pytest.approx(np.mean([score for score, _ in apart]))
    # Mean of the full cost over the mean of the cost, not the mean of the ratios.
    assert curve.speedups[place] == pytest.approx(2 / sum(1 / speedup for _, speedup in apart))


def test_a_huge_trace_is_thinned_evenly(monkeypatch):
    one, rule = measured(2000), find_rule("entropy")
    low, high = intervals(rule, [one.trace], 100)
    assert len(low) == 101 and (low[1:] == high[:-1]).all() and (low < high).all()
    monkeypatch.setattr(operating, "MOST_SETTINGS", 100)
    left = replay(rule, one.trace, high.astype(float).tolist()).exits[:, 0].diff().abs()
    # No step between two settings moves more than a few of a hundred samples.
    assert int(left.max()) < 0.05 * one.trace.samples


def test_values_that_never_pass_are_no_thresholds():
    one = measured(exits=4)
    assert bool(values_of(find_rule("patient-confident"), one.trace).isfinite().all())
    gated = replace(one.trace, executed=torch.zeros(4, one.trace.samples, dtype=torch.bool))
    assert len(values_of(find_rule("entropy"), gated)) == 0
    assert curve_of(find_rule("entropy"), [replace(one, trace=one.trace)]).rule.name == "entropy"


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.1234, 0.1278, 0.126),
        (0.0, 1.0, 0.5),
        (0.94, 1.06, 1.0),
        (-0.5, 0.2, 0.0),
        (4.0, 6.0, 5.0),
        (0.08, 0.16, 0.1),
    ],
)
def test_the_shortest_number(low, high, expected):
    assert shortest(low, high) == expected


def test_the_shortest_number_between_neighbours_is_the_upper_one():
    low = np.float32(0.3)
    high = np.nextafter(low, np.float32(1))
    number = shortest(float(low), float(high))
    assert float(low) < float(np.float32(number)) <= float(high)
    assert float(np.float32(float(str(number)))) == float(high)


def curve(speedups, scores):
    rule = find_rule("entropy")
    edges = np.arange(len(scores) + 1, dtype=np.float32)
    return Curve(rule, edges[:-1], edges[1:], np.array(scores), np.array(speedups))


def test_what_is_chosen():
    one = curve([1.0, 1.5, 1.9, 2.5, 4.0], [0.90, 0.90, 0.895, 0.88, 0.70])
    assert one.nearest(2.0) == 2 and one.slowest_at(2.0) == 3 and one.below(3) == 2 and one.below(0) is None
    assert one.slowest_at(5.0) is None
    # nearest to 2x; fastest within a point of 0.90 is the same; best at 2x or more
    assert one.chosen(0.90, [2.0]) == [2, 3]
    assert one.chosen(0.90, [2.0, 4.0]) == [2, 4, 3]


def test_a_threshold_of_the_grid_is_preferred():
    one = curve([1.0, 2.0], [0.9, 0.8])
    assert one.threshold(0, [0.25, 1.5]) == 0.25 and one.threshold(1, [0.25, 1.5]) == 1.5
    assert one.threshold(0) == 0.5


def test_a_threshold_belongs_to_the_setting_that_it_closes():
    one = curve([1.0, 2.0], [0.9, 0.8])
    assert one.threshold(0, [1.0]) == 1.0 and one.threshold(1, [1.0]) == 2.0


def test_of_equally_fast_settings_the_best_is_taken():
    one = curve([1.0, 1.5, 1.5, 2.0, 2.0, 3.0], [0.9, 0.8, 0.7, 0.5, 0.6, 0.4])
    assert one.below(3) == 1 and one.slowest_at(2.0) == 4 and one.nearest(2.0) == 4


def test_the_intervals_by_hand():
    """Between the values that occur, and a hundredth (of one more than the value) beyond the outermost two."""
    scores = torch.tensor([[0.25, 0.5, 1.0, 0.5], [0.9] * 4])
    one = replace(measured(4, exits=2).trace, scores=scores)
    low, high = intervals(find_rule("learned"), [one], 100)
    # A certainty is reached: from the strictest threshold down. The last exit's 0.9 is asked of nobody.
    assert low.tolist() == pytest.approx([1.0, 0.5, 0.25, 0.2375])
    assert high.tolist() == pytest.approx([1.02, 1.0, 0.5, 0.25])
    low, high = intervals(find_rule("learned"), [one], 2)  # thinned, the outermost values stay
    assert low.tolist() == pytest.approx([1.0, 0.25, 0.2375])
    nobody = replace(one, executed=torch.zeros(2, 4, dtype=torch.bool))  # no value: two settings around 0
    low, high = intervals(find_rule("learned"), [nobody], 100)
    assert low.tolist() == pytest.approx([0.0, -0.01]) and high.tolist() == pytest.approx([0.01, 0.0])
    low, high = intervals(find_rule("patience"), [one], 100)
    assert high.tolist() == find_rule("patience").grid(one.geometry) and (high - low == 1).all()


def test_a_score_that_needs_the_answers_themselves_has_a_curve_too():
    """A correlation is no sum over samples: by hand from the answers of each sample's exit."""
    labels, random = torch.linspace(0, 5, 40), torch.Generator().manual_seed(3)
    logits = labels[None, :, None] + torch.tensor([2.0, 1.0, 0.1])[:, None, None] * torch.randn(
        3, 40, 1, generator=random
    )
    one = measured(40, exits=3)
    trace = replace(one.trace, logits=logits, labels=labels)
    curve = curve_of(find_rule("learned"), [replace(one, trace=trace, metrics=("pearson",))])
    certain = trace.scores.numpy()
    for place in range(0, len(curve.scores), 9):
        leaves = certain >= curve.threshold(place)
        leaves[-1] = True
        answers = logits.numpy()[leaves.argmax(axis=0), np.arange(40), 0]
        assert curve.scores[place] == pytest.approx(np.corrcoef(labels.numpy(), answers)[0, 1], abs=1e-6)
    assert len(curve.scores) > 40 and curve.scores[0] > 0.99 > curve.scores[-1]
