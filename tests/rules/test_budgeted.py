import torch

from eebench.rules.base import Geometry, Signals
from eebench.rules.budgeted import Budgeted


def test_everyone_leaves_after_the_named_layer():
    rule = Budgeted()
    state = rule.start(2, torch.device("cpu"))
    left = [bool(rule.leaves(rule.criterion(layer, Signals(None), state), 3).all()) for layer in (1, 2, 3, 4)]
    assert left == [False, False, True, True]


def test_grid_is_the_layers_with_an_exit():
    assert Budgeted().grid(Geometry((2, 4), 2)) == [4.0, 2.0]
    assert Budgeted().needs == frozenset() and Budgeted().evaluates == "last"
