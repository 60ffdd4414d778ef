import torch

from eebench.training.options import TrainingOptions
from eebench.training.schedules import Schedule
from eebench.training.stages import Stage, descend, everything


def test_descend_fills_the_gradient_of_the_loss():
    weight = torch.nn.Parameter(torch.tensor([2.0]))
    assert descend({"loss": (weight**2).sum()}, [("w", weight)]) == {}
    assert weight.grad.tolist() == [4.0]


def test_a_stage_trains_everything_unless_told():
    stage = Stage("one", 1, 1e-3, lambda outputs, labels, step: {})
    assert stage.trains is everything and stage.trains("anything", None) and stage.update is descend


def test_a_stage_counts_its_steps_and_the_epochs_it_begins():
    stages = [Stage("one", epochs, 1e-3, lambda outputs, labels, step: {}) for epochs in (2, 2.5, 0.1, 2.01)]
    assert [stage.steps(10) for stage in stages] == [20, 25, 1, 20]
    assert [stage.rounds(10) for stage in stages] == [2, 3, 1, 2]


def test_a_stage_may_have_a_schedule_of_its_own():
    plain = Stage("one", 2, 1e-3, lambda outputs, labels, step: {})
    assert plain.rates(TrainingOptions(), 10) == Schedule(1e-3, 2, 20, True)
    own = Stage("one", 2, 1e-3, plain.objective, schedule=lambda steps: Schedule(1.0, 0, 7 * steps, False))
    assert own.rates(TrainingOptions(), 10) == Schedule(1.0, 0, 70, False)
