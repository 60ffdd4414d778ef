import math

import pytest
import torch
import torch.nn.functional as F

from eebench.losses import exit_losses, exit_weights, mutual_distillation, weighted_exit_loss


def logits_of(*probabilities):
    """Logits [E, 1, C] whose softmax is the given rows."""
    return torch.tensor(probabilities).log()[:, None, :]


def test_cross_entropy_of_each_exit_by_hand():
    losses = exit_losses(logits_of([0.5, 0.5], [0.9, 0.1]), torch.tensor([0]))
    assert losses.tolist() == pytest.approx([math.log(2), -math.log(0.9)], abs=1e-6)


def test_regression_uses_squared_error():
    outputs = torch.tensor([[[1.0], [3.0]], [[2.0], [2.0]]])
    assert exit_losses(outputs, torch.tensor([2.0, 2.0])).tolist() == [1.0, 0.0]


def test_depth_weights_are_i_over_78_for_twelve_exits():
    assert exit_weights(12, "depth").tolist() == pytest.approx([i / 78 for i in range(1, 13)])
    assert exit_weights(4, "sum").tolist() == [1, 1, 1, 1]
    assert exit_weights(4, "uniform").tolist() == [0.25] * 4


def test_weighted_loss_by_hand():
    logits = logits_of([0.5, 0.5], [0.25, 0.75])
    expected = (1 * -math.log(0.5) + 2 * -math.log(0.75)) / 3
    assert float(weighted_exit_loss(logits, torch.tensor([1]), "depth")) == pytest.approx(expected, abs=1e-6)


def test_mutual_distillation_of_two_exits_by_hand():
    p, q = [0.8, 0.2], [0.5, 0.5]
    there = 0.8 * math.log(0.8 / 0.5) + 0.2 * math.log(0.2 / 0.5)
    back = 0.5 * math.log(0.5 / 0.8) + 0.5 * math.log(0.5 / 0.2)
    assert float(mutual_distillation(logits_of(p, q))) == pytest.approx(there + back, abs=1e-6)
    # To the last exit only: the second teaches the first.
    assert float(mutual_distillation(logits_of(p, q), pairs="to_last")) == pytest.approx(back, abs=1e-6)


def loop_of_pairs(logits, temperature):
    """The sum over ordered pairs written as loops, teachers detached."""
    total = torch.zeros(())
    for i in range(len(logits)):
        for j in range(len(logits)):
            if i != j:
                teacher = (logits[i].detach() / temperature).softmax(-1)
                student = (logits[j] / temperature).log_softmax(-1)
                total = total + F.kl_div(student, teacher, reduction="batchmean") * temperature**2
    return total


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_one_expression_equals_the_132_pairs_in_value_and_gradient(temperature):
    torch.manual_seed(0)
    logits = torch.randn(12, 5, 3, dtype=torch.float64, requires_grad=True)
    whole = mutual_distillation(logits, temperature)
    (gradient,) = torch.autograd.grad(whole, logits)
    looped = loop_of_pairs(logits, temperature)
    (expected,) = torch.autograd.grad(looped, logits)
    assert float(whole.detach()) == pytest.approx(float(looped.detach()), rel=1e-12)
    assert torch.allclose(gradient, expected, atol=1e-12)


def test_teachers_get_a_gradient_only_when_asked():
    logits = torch.randn(2, 4, 2, dtype=torch.float64, requires_grad=True)
    (detached,) = torch.autograd.grad(mutual_distillation(logits, pairs="to_last"), logits)
    assert detached[1].abs().max() < 1e-12 < detached[0].abs().max()
    (attached,) = torch.autograd.grad(
        mutual_distillation(logits, pairs="to_last", detach_teacher=False), logits
    )
    assert attached[1].abs().max() > 1e-6


def test_agreeing_exits_have_nothing_to_teach():
    assert float(mutual_distillation(torch.ones(6, 4, 3))) == pytest.approx(0, abs=1e-5)
