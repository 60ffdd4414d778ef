import numpy as np
import pytest
import torch

from eebench.engine.execute import build
from eebench.head_importance import (
    gated,
    head_counts,
    head_importance,
    normalised,
    remove_heads,
    without_least,
)
from eebench.losses import exit_losses
from eebench.slender import layer_parts


@pytest.fixture
def model(toy_job):
    torch.manual_seed(3)
    return build(toy_job("finetune")).eval()


@pytest.fixture
def examples(executor, toy_job):
    return executor.examples(toy_job("finetune"), "train")


def test_importance_is_the_mean_absolute_slope_of_each_samples_loss(model, examples):
    rows, eps = np.arange(3), 1e-2
    with torch.no_grad():
        model.heads["2"].classifier.weight.mul_(100)  # slopes far above rounding
    found = head_importance(model, examples, rows)
    slopes = []
    for row in rows:
        labels = torch.from_numpy(examples.labels[[row]])
        batch = examples.encoded.batch(np.array([row]))
        losses = []
        for value in (1 + eps, 1 - eps):
            with torch.no_grad(), gated(model.backbone, 1) as gates:
                gates[1][0, 0] = value
                losses.append(float(exit_losses(model(batch).logits[-1:], labels)[0]))
        slopes.append(abs(losses[0] - losses[1]) / (2 * eps))
    assert float(found[1][0]) == pytest.approx(np.mean(slopes), rel=0.02)
    assert [len(layer) for layer in found] == [2, 2]
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_no_gate_stays_behind(model, examples):
    batch = examples.encoded.batch(np.arange(2))
    with torch.no_grad():
        before = model(batch).logits
        with gated(model.backbone, 2) as gates:
            assert torch.equal(model(batch).logits, before)
            gates[0].zero_()
            assert not torch.equal(model(batch).logits, before)
        assert torch.equal(model(batch).logits, before)


def test_removing_a_head_is_closing_its_gate(model, examples):
    batch = examples.encoded.batch(np.arange(4))
    with torch.no_grad():
        with gated(model.backbone, 4) as gates:
            gates[0][:, 1] = 0.0
            closed = model(batch).logits
        remove_heads(model, [[0], [0, 1]])
        assert torch.allclose(model(batch).logits, closed, atol=1e-6)
    assert head_counts(model.backbone) == [1, 2]
    assert layer_parts(model.backbone.layers[0]).query.weight.shape == (16, 32)


def test_layers_are_made_comparable():
    first, second = normalised([torch.tensor([3.0, 4.0]), torch.tensor([0.0, 0.0])])
    assert torch.allclose(first, torch.tensor([0.6, 0.8])) and torch.equal(second, torch.zeros(2))


def test_the_least_important_go_and_the_best_of_a_layer_stays():
    importance = [torch.tensor([0.5, 0.1, 0.3]), torch.tensor([0.02, 0.01, 0.04])]
    assert without_least(importance, 0) == [[0, 1, 2], [0, 1, 2]]
    assert without_least(importance, 3) == [[0, 2], [2]]
    assert without_least(importance, 4) == [[0], [2]]
    with pytest.raises(ValueError, match="only 4 may go"):
        without_least(importance, 5)
