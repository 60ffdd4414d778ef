import numpy as np
import pytest
import torch

from eebench.losses import exit_losses, exit_weights, mutual_distillation
from eebench.methods.leebert import LossWeights, WeightedOutputs, bilevel_loss
from eebench.training.stages import Step


def make(rows):
    torch.manual_seed(0)
    weights = LossWeights(3)
    logits = torch.randn(3, len(rows), 2, requires_grad=True)
    labels = torch.randint(0, 2, (len(rows),))
    w, v = weights()
    terms = bilevel_loss(WeightedOutputs(logits=logits, w=w, v=v), labels, Step(0, np.array(rows)), 0.3)
    return weights, logits, labels, terms


def test_weights_start_as_ml_bert_with_the_mean_over_pairs():
    w, v = LossWeights(4)()
    assert torch.allclose(w, exit_weights(4, "depth"))
    assert (
        torch.allclose(v[~torch.eye(4, dtype=torch.bool)], torch.tensor(1 / 12))
        and v.diagonal().abs().max() == 0
    )


def test_the_network_learns_on_the_first_half_only():
    _, logits, labels, terms = make([0, 1, 2, 3])
    (gradient,) = torch.autograd.grad(terms["loss"], logits, retain_graph=True)
    assert gradient[:, [1, 3]].abs().max() == 0 < gradient[:, [0, 2]].abs().max()
    first = logits[:, [0, 2]]
    expected = 0.7 * (exit_weights(3, "depth") * exit_losses(first, labels[[0, 2]])).sum()
    expected = expected + 0.3 * mutual_distillation(first) / 6
    assert float(terms["network"].detach()) == pytest.approx(float(expected.detach()), abs=1e-5)


def test_the_weights_learn_on_both_halves():
    weights, _, _, terms = make([0, 1, 2, 3])
    both = torch.autograd.grad(terms["loss"], weights.exit_logits)[0]
    weights, _, _, terms = make([0, 2, 4, 6])
    one = torch.autograd.grad(terms["loss"], weights.exit_logits)[0]
    assert both.abs().max() > 0 and one.abs().max() > 0 and not torch.allclose(both, one)


def test_a_batch_of_one_half_trains_no_network():
    _, logits, _, terms = make([1, 3])
    (gradient,) = torch.autograd.grad(terms["loss"], logits, allow_unused=True)
    assert gradient is None or gradient.abs().max() == 0


def test_it_trains_and_its_weights_are_not_counted_at_inference(executor, toy_job):
    job = toy_job("leebert")
    record = executor.ensure_trained(job).record()
    assert record["parameters"] == executor.ensure_trained(toy_job("pabee")).record()["parameters"]
    assert "w_last" in record["history"][0]
    assert "loss_weights.exit_logits" in executor.run(job).weights()
