import torch

from eebench.training.stages import Stage, descend, everything


def test_descend_fills_the_gradient_of_the_loss():
    weight = torch.nn.Parameter(torch.tensor([2.0]))
    assert descend({"loss": (weight**2).sum()}, [("w", weight)]) == {}
    assert weight.grad.tolist() == [4.0]


def test_a_stage_trains_everything_unless_told():
    stage = Stage("one", 1, 1e-3, lambda outputs, labels, step: {})
    assert stage.trains is everything and stage.trains("anything", None) and stage.update is descend
