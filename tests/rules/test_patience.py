import torch

from eebench.rules.base import Geometry, Signals
from eebench.rules.patience import Patience

CPU = torch.device("cpu")


def counts(labels):
    """The counter after each exit for one sample that predicts `labels`."""
    rule = Patience()
    state = rule.start(1, CPU)
    shown = []
    for layer, label in enumerate(labels, start=1):
        logits = torch.nn.functional.one_hot(torch.tensor([label]), 3).float()
        shown.append(int(rule.criterion(layer, Signals(logits), state)))
    return shown


def test_constant_answers_leave_at_patience_plus_one():
    assert counts([1, 1, 1, 1]) == [0, 1, 2, 3]  # patience 3 is reached at exit 4


def test_a_change_starts_the_count_again():
    assert counts([0, 0, 1, 1, 1, 0]) == [0, 1, 0, 1, 2, 0]


def test_alternating_answers_never_leave():
    assert max(counts([0, 1] * 6)) == 0


def test_grid_has_every_patience_that_can_be_reached():
    assert Patience().grid(Geometry(tuple(range(1, 13)), 2)) == [float(t) for t in range(11, 0, -1)]
