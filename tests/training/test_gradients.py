import pytest
import torch
from torch import nn

from eebench.training.gradients import (
    GradientAlignment,
    angle,
    descend_watching,
    group_numbers,
    inner_products,
    layer_of,
    projections,
    squared_norms,
)
from eebench.training.stages import descend

ALPHA = 0.3


def update(task_gradient, distil_gradient, mode, scope="global", names=("p0", "p1")):
    """The gradient that alignment leaves on linear losses with the given gradients (one per parameter)."""
    zeros = (torch.nn.Parameter(torch.zeros(len(g))) for g in task_gradient)
    parameters = list(zip(names, zeros, strict=False))
    ce = sum((p * torch.tensor(g)).sum() for (_, p), g in zip(parameters, task_gradient, strict=True))
    kd = sum((p * torch.tensor(g)).sum() for (_, p), g in zip(parameters, distil_gradient, strict=True))
    logged = GradientAlignment(ALPHA, mode, scope)({"ce": ce, "kd": kd}, parameters)
    return [p.grad.tolist() for _, p in parameters], logged


# Acceptance check of GAML-BERT's Eqs. 6 and 7: orthogonal, opposite and equal gradients.
@pytest.mark.parametrize("mode", ["soft", "hard"])
def test_orthogonal_distillation_leaves_the_shrunk_task_gradient(mode):
    assert update([[2.0, 0.0]], [[0.0, 5.0]], mode)[0] == [pytest.approx([2 * (1 - ALPHA), 0.0])]


def test_opposite_gradients():
    assert update([[1.0, 2.0]], [[-1.0, -2.0]], "soft")[0] == [pytest.approx([1 - 2 * ALPHA, 2 - 4 * ALPHA])]
    assert update([[1.0, 2.0]], [[-1.0, -2.0]], "hard")[0] == [pytest.approx([1.0, 2.0])]


@pytest.mark.parametrize("mode", ["soft", "hard"])
def test_equal_gradients_leave_it_as_it_is(mode):
    assert update([[1.0, 2.0]], [[1.0, 2.0]], mode)[0] == [pytest.approx([1.0, 2.0])]


def test_global_scope_is_a_scalar_times_the_task_gradient_and_per_tensor_is_not():
    task, distil = [[1.0, 0.0], [0.0, 2.0]], [[3.0, 1.0], [0.0, -4.0]]
    # c = (3 - 8) / (1 + 4) = -1, so s = 0.7 - 0.3
    whole, logged = update(task, distil, "soft")
    assert whole == [pytest.approx([0.4, 0.0]), pytest.approx([0.0, 0.8])]
    assert float(logged["c"]) == pytest.approx(-1.0) and float(logged["obtuse"]) == 1.0
    # c = 3 for the first tensor, -8/4 = -2 for the second: s = 1.6 and 0.1
    apart, logged = update(task, distil, "soft", "per_tensor")
    assert apart == [pytest.approx([1.6, 0.0]), pytest.approx([0.0, 0.2])]
    assert float(logged["obtuse"]) == 0.5
    # c is that of all together, -5/5: a mean over groups would be (3 - 2) / 2, and let the smallest tensor rule.
    assert float(logged["c"]) == pytest.approx(-1.0)
    # GA-hard keeps the second tensor's task gradient whole.
    assert update(task, distil, "hard", "per_tensor")[0][1] == pytest.approx([0.0, 2.0])


def test_embeddings_may_be_left_out_of_the_dot_product_and_are_scaled_all_the_same():
    task, distil = [[1.0, 0.0], [0.0, 2.0]], [[3.0, 1.0], [0.0, -4.0]]
    names = ("backbone.embeddings.word_embeddings.weight", "backbone.layers.0.weight")
    # c = -8 / 4 = -2 from the layer alone, so s = 0.7 - 0.6
    left, logged = update(task, distil, "soft", "without_embeddings", names)
    assert left == [pytest.approx([0.1, 0.0]), pytest.approx([0.0, 0.2])]
    assert float(logged["c"]) == pytest.approx(-2.0)
    assert update(task, distil, "soft", "global", names)[0] == update(task, distil, "soft")[0]


def c_of(task, distil, groups):
    return projections(
        inner_products(task, distil), squared_norms(task), torch.tensor(groups), max(groups) + 1
    ).tolist()


def test_a_vanishing_task_gradient_projects_to_nothing():
    assert c_of([torch.zeros(3)], [torch.ones(3)], [0]) == [0.0]


def test_parameters_without_a_distillation_gradient_count_as_zero():
    assert c_of([torch.tensor([1.0]), torch.tensor([1.0])], [None, torch.tensor([4.0])], [0, 0]) == [2.0]


# (1, 0) against (1, 1), its opposite, (0, 1) and nothing at all.
@pytest.mark.parametrize(
    ("distil", "degrees"), [([1.0, 1.0], 45.0), ([-1.0, -1.0], 135.0), ([0.0, 1.0], 90.0), ([0.0, 0.0], 90.0)]
)
@pytest.mark.parametrize("scope", ["global", "per_tensor"])
def test_the_angle_is_that_of_the_whole_gradients(distil, degrees, scope):
    assert float(
        update([[1.0], [0.0]], [[distil[0]], [distil[1]]], "soft", scope)[1]["angle"]
    ) == pytest.approx(degrees)
    assert float(angle(torch.tensor(0.5), torch.tensor(1.0), torch.tensor(1.0))) == pytest.approx(60.0)


def test_a_step_is_flipped_when_c_is_below_the_ratio_of_the_weights():
    # s = 0.7 + 0.3 c changes its sign at c = -7/3.
    assert float(update([[1.0]], [[-2.3]], "soft")[1]["flipped"]) == 0.0
    assert float(update([[1.0]], [[-2.4]], "soft")[1]["flipped"]) == 1.0
    assert float(update([[1.0]], [[-2.4]], "hard")[1]["flipped"]) == 0.0


def test_layers_are_told_apart_by_name():
    names = ["backbone.embeddings.word.weight", "backbone.embeddings.ln.bias", "backbone.layers.0.a",
             "backbone.layers.0.b", "backbone.layers.10.a", "heads.1.classifier.weight"]  # fmt: skip
    assert group_numbers(names, "per_layer").tolist() == [0, 0, 1, 1, 2, 3]
    assert group_numbers(names, "global").tolist() == [0] * 6
    assert group_numbers(names, "per_tensor").tolist() == list(range(6))
    assert layer_of("backbone.layers.10.a") == "backbone.layers.10"


def test_watching_the_angle_leaves_the_update_as_it_is():
    """f = ce + kd of two parameters; at (1, 2) the gradients are (2, 0) and (1, 1): 45 degrees."""

    def terms(first, second):
        ce, kd = first.square().sum(), (first + second).sum()
        return {"loss": 0.7 * ce + 0.3 * kd, "ce": ce, "kd": kd}

    def trained():
        return [("first", nn.Parameter(torch.tensor([1.0]))), ("second", nn.Parameter(torch.tensor([2.0])))]

    plain, watched = trained(), trained()
    assert descend(terms(*(parameter for _, parameter in plain)), plain) == {}
    logged = descend_watching(terms(*(parameter for _, parameter in watched)), watched)
    assert float(logged["angle"]) == pytest.approx(45.0)
    for (_, one), (_, other) in zip(plain, watched, strict=True):
        assert torch.equal(one.grad, other.grad)
