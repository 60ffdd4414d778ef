import math
from itertools import pairwise

import pytest
import torch

from eebench.crosslayer import Contrast, Projection, crosslayer_losses


# From the published architecture: dense to 128, LayerNorm, tanh, dense 128 x 128.
@pytest.mark.parametrize(("width", "expected"), [(768, 115_200), (128, 33_280)])
def test_a_projection_has_the_published_number_of_parameters(width, expected):
    assert sum(parameter.numel() for parameter in Projection(width).parameters()) == expected
    assert width * 128 + 128 + 2 * 128 + 128 * 128 + 128 == expected


def test_a_projection_is_dense_norm_tanh_dense():
    torch.manual_seed(0)
    projection, token = Projection(8), torch.randn(8)
    entered = projection.enter(token)
    normed = (entered - entered.mean()) / torch.sqrt(entered.var(unbiased=False) + 1e-5)
    expected = projection.leave(torch.tanh(normed))
    assert torch.allclose(projection(token[None, None])[0, 0], expected, atol=1e-5)


def whole(tokens, sentences=1):
    return torch.ones(sentences, tokens, dtype=torch.bool)


def test_two_tokens_by_hand():
    # Layer 1: along the axes; layer 2: token 1 kept, token 2 turned by 60 degrees towards it. Lengths do not matter.
    turned = [math.sin(math.pi / 3), math.cos(math.pi / 3)]
    states = torch.tensor([[[[2.0, 0.0], [0.0, 3.0]]], [[[5.0, 0.0], [4 * turned[0], 4 * turned[1]]]]])
    t = 0.5
    first = -math.log(math.exp(1 / t) / (math.exp(1 / t) + math.exp(turned[0] / t)))
    second = -math.log(math.exp(turned[1] / t) / (math.exp(0 / t) + math.exp(turned[1] / t)))
    losses = crosslayer_losses(states, whole(2), Contrast(t))
    assert losses.tolist() == pytest.approx([(first + second) / 2], abs=1e-6)
    without = crosslayer_losses(states, whole(2), Contrast(t, with_positive=False))
    by_hand = ((turned[0] - 1) / t + (0 - turned[1]) / t) / 2
    assert without.tolist() == pytest.approx([by_hand], abs=1e-6)


def slowly(states, mask, form):
    """The loss token by token, as the paper writes it."""
    unit, losses = torch.nn.functional.normalize(states, dim=-1), []
    for below, above in pairwise(unit):
        sentences = []
        for row in range(mask.shape[0]):
            places = [k for k in range(mask.shape[1]) if mask[row, k]]
            tokens = []
            for m in places:
                positive = float(below[row, m] @ above[row, m]) / form.temperature
                others = [
                    math.exp(float(below[row, m] @ above[row, k]) / form.temperature)
                    for k in places
                    if form.with_positive or k != m
                ]
                tokens.append(math.log(sum(others)) - positive if others else 0.0)
            sentences.append(sum(tokens) / len(tokens))
        losses.append(sum(sentences) / len(sentences))
    return losses


@pytest.mark.parametrize("with_positive", [True, False])
def test_all_pairs_at_once_are_the_loops_over_tokens(with_positive):
    torch.manual_seed(0)
    states = torch.randn(4, 3, 5, 6)
    mask = torch.tensor([[True] * 5, [True] * 3 + [False] * 2, [True] + [False] * 4])
    form = Contrast(0.55, with_positive)
    assert crosslayer_losses(states, mask, form).tolist() == pytest.approx(
        slowly(states, mask, form), abs=1e-5
    )


@pytest.mark.parametrize("with_positive", [True, False])
def test_padding_changes_neither_loss_nor_gradient(with_positive):
    torch.manual_seed(0)
    states, form = torch.randn(3, 2, 4, 6, requires_grad=True), Contrast(0.5, with_positive)
    padded = torch.cat([states, torch.randn(3, 2, 3, 6)], dim=2)
    mask = torch.cat([whole(4, 2), torch.zeros(2, 3, dtype=torch.bool)], dim=1)
    plain, wide = crosslayer_losses(states, whole(4, 2), form), crosslayer_losses(padded, mask, form)
    assert torch.allclose(plain, wide, atol=1e-6)
    (one,) = torch.autograd.grad(plain.sum(), states)
    (other,) = torch.autograd.grad(wide.sum(), states)
    assert torch.allclose(one, other, atol=1e-6) and one.abs().max() > 0


@pytest.mark.parametrize("with_positive", [True, False])
def test_a_sentence_of_one_token_has_loss_zero_and_finite_gradients(with_positive):
    states = torch.randn(3, 1, 1, 6, requires_grad=True)
    losses = crosslayer_losses(states, whole(1), Contrast(0.5, with_positive))
    assert losses.tolist() == [0.0, 0.0]
    (gradient,) = torch.autograd.grad(losses.sum(), states)
    assert gradient.isfinite().all()


def test_one_layer_has_no_pair():
    losses = crosslayer_losses(torch.randn(1, 2, 3, 6), whole(3, 2), Contrast(0.5))
    assert losses.shape == (0,) and float(losses.sum()) == 0.0


def test_half_precision_states_are_compared_in_fp32():
    losses = crosslayer_losses(torch.randn(2, 1, 3, 6).bfloat16(), whole(3), Contrast(0.5))
    assert losses.dtype == torch.float32
