import numpy as np
import pytest
import torch

from eebench.losses import exit_losses
from eebench.methods.catalogue import find_method
from eebench.model import Outputs
from eebench.training.stages import Step


@pytest.mark.parametrize(
    ("kind", "weights"), [("sum", [1, 1, 1]), ("uniform", [1 / 3] * 3), ("depth", [1 / 6, 2 / 6, 3 / 6])]
)
def test_the_loss_is_the_weighted_sum_over_exits(kind, weights):
    torch.manual_seed(0)
    logits, labels = torch.randn(3, 5, 2), torch.randint(0, 2, (5,))
    method = find_method("joint")
    (stage,) = method.stages(method.options_type(exit_weights=kind))
    expected = (torch.tensor(weights) * exit_losses(logits, labels)).sum()
    assert float(stage.objective(Outputs(logits), labels, Step(0, np.arange(5)))["loss"]) == pytest.approx(
        float(expected), abs=1e-6
    )


def test_pabee_has_its_released_defaults():
    options = find_method("pabee").options_type()
    assert (options.exit_weights, options.epochs, options.lr, options.warmup_share, options.weight_decay) == (
        "depth", 5, 2e-5, 0.0, 0.0,
    )  # fmt: skip
    assert options.head.pooler == "shared"


def test_shallow_deep_is_pabees_run_with_its_own_rule(toy_job):
    assert toy_job("pabee").spec.key == toy_job("shallow-deep").spec.key
    assert find_method("shallow-deep").default_rule == "max-prob"
    assert toy_job("pabee").spec.key != toy_job("joint").spec.key
