import pytest
import torch

from eebench.rules.base import Geometry, Signals
from eebench.rules.learned import LearnedScore


def test_the_certainty_is_the_criterion():
    rule = LearnedScore()
    criterion = rule.criterion(1, Signals(None, torch.tensor([0.2, 0.9])), {})
    assert rule.leaves(criterion, 0.9).tolist() == [False, True]


def test_a_threshold_above_one_never_leaves():
    rule = LearnedScore()
    assert rule.grid(Geometry((1, 2), 2))[0] > 1
    assert not bool(rule.leaves(torch.tensor([1.0]), 1.01))


def test_without_a_score_there_is_nothing_to_read():
    with pytest.raises(ValueError, match="learned score"):
        LearnedScore().criterion(1, Signals(None), {})
