import numpy as np
import torch

from eebench.methods.catalogue import find_method
from eebench.methods.finetune import last_exit_loss
from eebench.model import Outputs
from eebench.training.stages import Step

STEP = Step(0, np.arange(4))


def test_only_the_last_exit_is_trained():
    logits = torch.zeros(3, 4, 2, requires_grad=True)
    loss = last_exit_loss(Outputs(logits), torch.zeros(4, dtype=torch.int64), STEP)["loss"]
    loss.backward()
    assert abs(float(loss.detach()) - 0.693147) < 1e-5
    assert logits.grad[:2].abs().max() == 0 < logits.grad[2].abs().max()


def test_finetune_has_one_exit_at_the_last_layer():
    method = find_method("finetune")
    assert method.exit_layers(method.options_type(), 12) == (12,)


def test_first_k_keeps_k_layers_and_says_so():
    method = find_method("first-k")
    options = method.options_type(k=3)
    assert (method.depth(options, 12), method.label(options)) == (3, "first-3")


def test_both_train_end_to_end(executor, toy_job):
    full = executor.ensure_trace(toy_job("finetune"))
    one = executor.ensure_trace(toy_job("first-k", k=1))
    assert (full.exit_layers, one.exit_layers) == ((2,), (1,))
    assert executor.model(toy_job("first-k", k=1)).backbone.depth == 1
