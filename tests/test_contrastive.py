import math

import pytest
import torch

from eebench.contrastive import Split, ensemble_teacher, nt_xent, split_exits, student_weights


def split(losses, teachers):
    found = split_exits(torch.tensor(losses), teachers)
    return found.students.tolist(), found.teachers.tolist()


def test_the_exits_with_the_largest_losses_learn_from_the_others():
    assert split([0.7, 0.3, 0.9, 0.1], 2) == ([2, 0], [1, 3])
    assert split([0.7, 0.3, 0.9, 0.1], 3) == ([2], [0, 1, 3])
    assert split([0.7, 0.3, 0.9, 0.1], 1) == ([2, 0, 1], [3])


def test_of_equal_exits_the_deeper_teaches():
    assert split([0.5, 0.5, 0.5, 0.5], 2) == ([0, 1], [2, 3])
    assert split([0.2, 0.9, 0.2], 1) == ([1, 0], [2])


def test_the_ensemble_is_the_mean_of_the_teachers():
    features = torch.tensor([[[8.0, 8.0]], [[1.0, 0.0]], [[3.0, 2.0]]])
    found = ensemble_teacher(features, Split(torch.tensor([0]), torch.tensor([2, 1])))
    assert found.tolist() == [[2.0, 1.0]]


@pytest.mark.parametrize("batch", [2, 3, 7])
def test_with_all_similarities_equal_the_loss_counts_the_candidates(batch):
    alike = torch.ones(batch, 4)
    students = 3 * torch.ones(5, batch, 4)
    concat = nt_xent(alike, students, 0.5, "concat")
    assert concat.shape == (5,) and torch.allclose(concat, torch.tensor(math.log(2 * batch - 1)))
    alone = nt_xent(alike, students, 0.5, "students_only")
    assert torch.allclose(alone, torch.tensor(math.log(batch)))


# Two samples, anchors along x and y. Student 0 has both samples along x (of any length); student 1 has them right.
ANCHORS = torch.tensor([[1.0, 0.0], [0.0, 5.0]])
STUDENTS = torch.tensor([[[2.0, 0.0], [7.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]]])
# With tau = 0.5 a similarity of 1 is e^2, one of 0 is 1.
E2 = math.exp(2)


def test_nt_xent_by_hand():
    wrong = (math.log((1 + E2 + E2) / E2) + math.log(1 + 1 + 1)) / 2
    right = math.log((1 + E2 + 1) / E2)
    assert nt_xent(ANCHORS, STUDENTS, 0.5, "concat").tolist() == pytest.approx([wrong, right], abs=1e-6)
    wrong = (math.log((E2 + E2) / E2) + math.log(1 + 1)) / 2
    right = math.log((E2 + 1) / E2)
    assert nt_xent(ANCHORS, STUDENTS, 0.5, "students_only").tolist() == pytest.approx(
        [wrong, right], abs=1e-6
    )


def test_a_higher_temperature_contrasts_less():
    right = math.log((1 + math.e + 1) / math.e)
    assert float(nt_xent(ANCHORS, STUDENTS, 1.0, "concat")[1]) == pytest.approx(right, abs=1e-6)


def test_anchors_are_the_teachers_alone():
    """Three samples where the answer differs by the side that is summed over: the samples of one anchor."""
    anchors = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    students = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]])
    # anchor:    0: e^2 / (e^2 + 1 + 1)   1: 1 / (e^2 + 1 + 1)   2: e^2 / (1 + e^2 + e^2)
    expected = (math.log((E2 + 2) / E2) + math.log(E2 + 2) + math.log((1 + 2 * E2) / E2)) / 3
    assert float(nt_xent(anchors, students, 0.5, "students_only")) == pytest.approx(expected, abs=1e-6)


def test_both_sides_can_move():
    anchors, students = ANCHORS.clone().requires_grad_(), STUDENTS.clone().requires_grad_()
    nt_xent(anchors, students, 0.5, "concat").sum().backward()
    assert torch.isfinite(anchors.grad).all() and anchors.grad.abs().max() > 0
    assert torch.isfinite(students.grad).all() and students.grad.abs().max() > 0


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("loss_desc", [1 / 6, 2 / 6, 3 / 6]),
        ("loss_asc", [3 / 6, 2 / 6, 1 / 6]),
        ("depth", [2 / 6, 3 / 6, 1 / 6]),
        ("uniform", [1 / 3, 1 / 3, 1 / 3]),
    ],
)
def test_weights_of_students(order, expected):
    found = split_exits(torch.tensor([0.5, 0.1, 0.9, 0.7]), 1)
    assert found.students.tolist() == [2, 3, 0]
    assert student_weights(found, order).tolist() == pytest.approx(expected)
