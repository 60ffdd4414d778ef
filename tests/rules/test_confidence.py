import math

import pytest
import torch

from eebench.rules.base import Geometry, Signals
from eebench.rules.confidence import Entropy, MaxProbability, NormalizedEntropy, entropy


def signals(*probabilities):
    return Signals(torch.tensor(probabilities).log())


def test_entropy_by_hand():
    values = entropy(torch.tensor([[0.5, 0.5], [0.9, 0.1]]).log()).tolist()
    assert values == pytest.approx([math.log(2), -(0.9 * math.log(0.9) + 0.1 * math.log(0.1))], abs=1e-6)
    assert float(entropy(torch.zeros(3))) == pytest.approx(1.098612, abs=1e-6)


def test_entropy_is_finite_for_saturated_logits():
    assert float(entropy(torch.tensor([200.0, -200.0]))) == 0.0
    assert torch.isfinite(entropy(torch.tensor([12.0, -3.0], dtype=torch.float16)))


def test_normalised_entropy_is_one_for_uniform_answers():
    rule = NormalizedEntropy()
    assert float(rule.criterion(1, signals([1 / 3, 1 / 3, 1 / 3]), {})) == pytest.approx(1.0, abs=1e-6)
    assert float(rule.criterion(1, signals([0.5, 0.5]), {})) == pytest.approx(1.0, abs=1e-6)


def test_entropy_is_strict_so_zero_never_leaves():
    rule = Entropy()
    sure = rule.criterion(1, Signals(torch.tensor([[200.0, -200.0]])), {})
    assert not bool(rule.leaves(sure, 0.0)) and bool(rule.leaves(sure, 1e-6))


def test_a_threshold_above_ln_c_lets_everyone_leave():
    rule = Entropy()
    assert bool(rule.leaves(rule.criterion(1, signals([0.5, 0.5]), {}), 0.7))


def test_max_probability_includes_equality():
    rule = MaxProbability()
    criterion = rule.criterion(1, signals([0.5, 0.5], [0.9, 0.1]), {})
    assert criterion.tolist() == pytest.approx([0.5, 0.9], abs=1e-6)
    assert bool(rule.leaves(torch.tensor([0.5]), 0.5))


def test_grids_span_from_full_depth_to_the_first_exit():
    three = Geometry((1, 2, 3), 3)
    grid = Entropy().grid(three)
    assert grid[0] == 0.0 and grid[-1] < math.log(3) and grid == sorted(grid)
    probabilities = MaxProbability().grid(three)
    assert probabilities == sorted(probabilities, reverse=True) and min(probabilities) > 1 / 3
