import pytest
import torch

from eebench.errors import UserError
from eebench.training.options import TrainingOptions
from eebench.training.schedules import Schedule
from eebench.training.stages import Stage, descend, everything, refuse_shared


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


def test_a_stage_does_not_train_one_name_of_a_parameter_and_freeze_the_other():
    model = torch.nn.ModuleDict({"lower": torch.nn.Linear(2, 2), "upper": torch.nn.Linear(2, 2)})
    model["upper"].weight = model["lower"].weight

    def stage(trains):
        return Stage("half", 1, 1e-3, lambda outputs, labels, step: {}, trains=trains)

    for allowed in (
        everything,
        lambda *_: False,
        lambda name, _: name.endswith("weight") or name == "upper.bias",
    ):
        refuse_shared(stage(allowed), model)
    for moved, frozen in (("upper", "lower"), ("lower", "upper")):
        told = (
            f"stage 'half' trains {moved}.weight, which is also {frozen}.weight, and that is to stay frozen"
        )
        with pytest.raises(UserError, match=told):
            refuse_shared(stage(lambda name, _, moved=moved: name.startswith(moved)), model)
