"""The check on real text, here with the toy backbone and task so that it takes seconds."""

import pytest
import torch

from eebench.engine.execute import Executor
from eebench.engine.local import Silent
from eebench.errors import UserError
from eebench.learns import compared, results
from eebench.plan import Planner
from eebench.store import Store
from eebench.toy import toy_data, toy_scores, toy_task

LONG = {"epochs": 8, "lr": 1e-2, "batch_size": 16}


@pytest.fixture
def judged(tmp_path):
    """`judged("joint", lr=...)` is what the check says of that method."""
    planner = Planner(None, "fp32")
    planner.remember(toy_data())

    def run(name, **given):
        plan = compared(planner, name, {**LONG, **given}, (toy_task(), "toy"))
        return results(plan, Executor(Store(tmp_path), torch.device("cpu")), Silent())

    return run


def test_a_method_that_learns(judged):
    learned, near = judged("joint")
    assert (learned.status, learned.reason, near.status) == ("passed", "yes", "passed")
    assert near.check == "last exit within 3 points of finetune"
    assert near.reason.startswith("accuracy ") and "; by exit " in near.reason


def test_a_method_that_learns_nothing(judged):
    learned = judged("pabee", lr=1e-9)[0]
    assert learned.status == "failed" and learned.reason.startswith("no: ")


def test_an_option_of_the_method_alone_leaves_plain_fine_tuning_as_it_is():
    planner = Planner(None, "fp32")
    planner.remember(toy_data())
    plan = compared(planner, "joint", {"exit_weights": "sum", "epochs": 2}, (toy_task(), "toy"))
    plain, own = (cell.job.options for cell in plan.cells)
    assert (plain.epochs, own.epochs, own.exit_weights, plain.train_rows) == (2, 2, "sum", 2000)


def test_a_method_without_regression_is_refused():
    planner = Planner(None, "fp32")
    data = toy_scores()
    planner.remember(data)
    with pytest.raises(UserError, match="method 'gaml' is not defined for regression"):
        compared(planner, "gaml", {}, (data.spec, "toy"))


def test_what_cannot_be_had_is_refused():
    planner = Planner(None, "fp32")
    planner.remember(toy_data())
    with pytest.raises(UserError, match="unknown method 'jiont'; did you mean 'joint'"):
        compared(planner, "jiont", {}, (toy_task(), "toy"))
