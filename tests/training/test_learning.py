import pytest
import torch

from eebench.trace import Trace
from eebench.training.learning import distinct, look, verdict


def trace(logits, labels):
    """A trace of two exits with those logits [2, N, C]."""
    samples = len(labels)
    return Trace(
        (1, 2), torch.tensor(logits), torch.tensor(labels), torch.ones(samples), torch.arange(samples)
    )


def judged(logits, labels):
    return verdict({"learning": look(trace(logits, labels)), "exit_layers": [1, 2]})


GOOD = [[0.0, 1.0], [1.0, 0.0], [1.0, 0.0]]
STUCK = [[1.0, 0.0]] * 3
WRONG = [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]
LABELS = [1, 0, 0]


def test_classes():
    seen = look(trace([STUCK, GOOD], LABELS))
    assert seen == {"rows": 3, "constant": 0.6667, "answers": [1, 2], "good": [0.6667, 1.0]}


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        (GOOD, GOOD, "yes"),
        (STUCK, GOOD, "yes; exit 1 gives one answer to every row"),
        (STUCK, STUCK, "no: exits 1, 2 give one answer to every row"),
        (GOOD, STUCK, "no: exit 2 gives one answer to every row"),
        (GOOD, WRONG, "no: exit 2 is no better on its training rows than one answer for all of them"),
    ],
)
def test_verdicts_on_classes(first, last, expected):
    assert judged([first, last], LABELS) == expected


def test_scores():
    good, stuck = [[0.0], [2.0], [4.0]], [[2.0], [2.0001], [2.0]]
    labels = [0.0, 2.0, 5.0]
    seen = look(trace([stuck, good], labels))
    # Mean 7/3, variance 38/9; squared errors of `good` are 0, 0, 1.
    assert seen["answers"] == [1, 3] and seen["constant"] == 0.0
    assert seen["good"][1] == pytest.approx(1 - (1 / 3) / (38 / 9), abs=1e-4)
    assert judged([stuck, good], labels) == "yes; exit 1 gives one answer to every row"
    assert judged([good, [[4.0], [2.0], [0.0]]], labels).startswith("no: exit 2 is no better")


@pytest.mark.parametrize(
    ("answers", "different"),
    [
        ([3, 1, 3], 2),
        ([1.0, 1.0015], 1),
        ([1.0, 1.0025], 2),
        ([-9.0, -9.009], 1),
        ([-9.0, -9.011], 2),
        ([0.0], 1),
    ],
)
def test_scores_are_one_answer_within_a_thousandth_of_their_size(answers, different):
    """The size is one more than the largest absolute score: 0.002 apart near 1, 0.01 near -9."""
    assert distinct(torch.tensor(answers)) == different


def test_a_run_that_was_not_looked_at_says_nothing():
    assert verdict({"exit_layers": [1, 2]}) == ""
