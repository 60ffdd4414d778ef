from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

from eebench.errors import UnknownName, UserError
from eebench.tasks.metrics import METRICS, find_metric, from_confusion, one_class_score, score

# TP 4, FN 1, FP 1, TN 2
LABELS = [0, 0, 0, 1, 1, 1, 1, 1]
PREDICTIONS = [0, 0, 1, 0, 1, 1, 1, 1]
CONFUSION = np.array([[2, 1], [1, 4]])

BY_HAND = {"accuracy": 6 / 8, "f1": 8 / 10, "acc_f1": 0.775, "matthews": 7 / 15}


@pytest.mark.parametrize(("name", "expected"), BY_HAND.items())
def test_scores_by_hand(name: str, expected: float):
    assert score(name, LABELS, PREDICTIONS) == pytest.approx(expected, abs=1e-15)
    assert from_confusion(name, CONFUSION) == pytest.approx(expected, abs=1e-15)


def test_correlations_by_hand():
    labels, predictions = [1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 10.0]
    pearson = 14 / math.sqrt(5 * 50)
    assert score("pearson", labels, predictions) == pytest.approx(pearson, abs=1e-12)
    assert score("spearman", labels, predictions) == pytest.approx(1.0, abs=1e-12)
    assert score("pearson_spearman", labels, predictions) == pytest.approx((pearson + 1) / 2, abs=1e-12)
    assert score("spearman", labels, [4.0, 3.0, 2.0, 1.0]) == pytest.approx(-1.0, abs=1e-12)


@pytest.mark.parametrize("name", ["pearson", "spearman", "pearson_spearman"])
def test_a_constant_prediction_correlates_with_nothing(name: str):
    assert score(name, np.array([1.0, 2.0, 3.0], dtype=np.float32), np.full(3, 2.5, dtype=np.float32)) == 0.0


def arrays(confusion: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Labels and predictions with these counts."""
    classes = len(confusion)
    labels, predictions = np.divmod(np.repeat(np.arange(classes**2), confusion.ravel()), classes)
    return labels, predictions


@pytest.mark.parametrize("name", ["accuracy", "f1", "acc_f1", "matthews"])
def test_counts_equal_arrays_on_random_binary_data(name: str):
    generator = np.random.default_rng(0)
    # Half of the cells are zero, so that every degenerate case occurs.
    counts = generator.integers(1, 60, (300, 2, 2)) * generator.integers(0, 2, (300, 2, 2))
    counts = counts[counts.sum(axis=(1, 2)) > 0]
    expected = [score(name, *arrays(one)) for one in counts]
    np.testing.assert_allclose(from_confusion(name, counts), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["accuracy", "matthews"])
def test_counts_equal_arrays_on_random_data_of_three_classes(name: str):
    generator = np.random.default_rng(1)
    for _ in range(50):
        labels, predictions = generator.integers(0, 3, (2, 40))
        counts = confusion_matrix(labels, predictions, labels=range(3))
        assert from_confusion(name, counts) == pytest.approx(score(name, labels, predictions), abs=1e-12)


@pytest.mark.parametrize(
    ("labels", "predictions", "f1"),
    [([0, 0], [0, 0], 0.0), ([1, 1], [1, 1], 1.0), ([0, 1], [1, 1], 2 / 3), ([0, 1], [0, 0], 0.0)],
)
def test_one_class_only(labels: list[int], predictions: list[int], f1: float):
    counts = confusion_matrix(labels, predictions, labels=[0, 1])
    assert score("matthews", labels, predictions) == from_confusion("matthews", counts) == 0.0
    assert score("f1", labels, predictions) == pytest.approx(f1)
    assert from_confusion("f1", counts) == pytest.approx(f1)


def test_leading_axes_are_kept():
    stacked = np.stack([[CONFUSION, CONFUSION.T, CONFUSION * 2]] * 4)
    for name in BY_HAND:
        scores = from_confusion(name, stacked)
        assert scores.shape == (4, 3)
        assert scores.dtype == np.float64


def test_counts_of_a_large_data_set_do_not_overflow():
    counts = np.array([[300_000, 20_000], [10_000, 200_000]])
    tn, fp, fn, tp = (int(count) for count in counts.ravel())
    expected = (tp * tn - fp * fn) / math.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    assert from_confusion("matthews", counts) == pytest.approx(expected, abs=1e-12)


def test_an_empty_confusion_has_no_score():
    scores = from_confusion("accuracy", np.stack([np.zeros((2, 2), dtype=np.int64), CONFUSION]))
    assert math.isnan(scores[0])
    assert scores[1] == 0.75


def test_metrics_of_two_classes_refuse_three():
    with pytest.raises(UserError, match="metric 'f1' needs two classes, not 3"):
        score("f1", [0, 1, 2], [0, 1, 1])
    with pytest.raises(UserError, match="metric 'acc_f1' needs two classes, not 3"):
        from_confusion("acc_f1", np.eye(3, dtype=np.int64))


def test_correlations_need_more_than_counts():
    with pytest.raises(UserError, match="'pearson' cannot be computed from confusion counts"):
        from_confusion("pearson", CONFUSION)


def test_unknown_metric_suggests_the_closest():
    with pytest.raises(UnknownName, match="unknown metric 'mathews'; did you mean 'matthews'"):
        score("mathews", [0], [0])
    with pytest.raises(UnknownName, match=r"in rte\.yaml"):
        find_metric("mathews", "rte.yaml")


def test_catalogue_keys_are_names():
    assert list(METRICS) == [metric.name for metric in METRICS.values()]
    assert {name for name, metric in METRICS.items() if metric.regression} == {
        "pearson",
        "spearman",
        "pearson_spearman",
    }


def test_the_most_frequent_class_of_train_as_the_answer_to_everything():
    assert one_class_score("accuracy", [1, 1, 0], [0, 1, 0, 0]) == 0.25
    assert one_class_score("matthews", [1, 1, 0], [0, 1]) == 0.0
    # MRPC: 279 of 408 dev pairs are paraphrases, so F1 = 2 * 279 / (279 + 408)
    assert one_class_score("f1", [1, 1, 0], [1] * 279 + [0] * 129) == pytest.approx(0.8122, abs=5e-5)
    assert one_class_score("pearson", [1.5, 2.0], [0.3, 0.4]) is None
