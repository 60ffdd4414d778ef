"""Scores of predictions: from arrays (scikit-learn, SciPy), or from the confusion counts of many settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eebench.errors import UnknownName, UserError

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
Scorer = Callable[[NDArray[np.generic], NDArray[np.generic]], float]

# scikit-learn and SciPy are imported inside the functions: `eebench list` must not wait for them.


@dataclass(frozen=True)
class Metric:
    """One score, higher is better; `title` is what people call it.

    `compute` takes labels [n] and predictions [n] (classes, or scores for a regression);
    `counted` takes confusions [..., C, C] of (label, prediction), and is None where counts do not suffice.
    """

    name: str
    title: str
    compute: Scorer
    counted: Callable[[Counts], Floats] | None = None
    binary: bool = False

    @property
    def regression(self) -> bool:
        """True when it compares numbers, not classes."""
        return self.counted is None

    def check_classes(self, classes: int) -> None:
        """UserError when the metric is not defined for so many classes."""
        if self.binary and classes != 2:
            raise UserError(
                f"metric '{self.name}' needs two classes, not {classes}; use 'accuracy' or 'matthews'."
            )


def metric_title(name: str) -> str:
    """What people call a metric; a name that is not known stays as it is.

    Example: ``metric_title("matthews")`` is ``"MCC"``.
    """
    return METRICS[name].title if name in METRICS else name


def score(metric_name: str, labels: ArrayLike, predictions: ArrayLike) -> float:
    """The score of `predictions` [n] against `labels` [n]; raises UnknownName.

    Example: ``score("accuracy", [0, 1], [0, 0])`` is 0.5.
    """
    metric = find_metric(metric_name)
    truth, guess = np.asarray(labels), np.asarray(predictions)
    if metric.binary and truth.size:
        metric.check_classes(max(2, int(truth.max()) + 1, int(guess.max()) + 1))
    return metric.compute(truth, guess)


def one_class_score(metric_name: str, train: ArrayLike, labels: ArrayLike) -> float | None:
    """The score of answering `labels` [n] with the most frequent class of `train` [m]; None for a regression.

    Example: ``one_class_score("accuracy", [1, 1, 0], [0, 1])`` is 0.5.
    """
    if find_metric(metric_name).regression:
        return None
    truth = np.asarray(labels)
    return score(metric_name, truth, np.full_like(truth, np.bincount(np.asarray(train)).argmax()))


def from_confusion(metric_name: str, confusion: Counts) -> Floats:
    """Scores [...] from confusion counts [..., C, C] int64 with axes (label, prediction); nan where empty.

    Equal to `score` on the arrays the counts were made from. Raises UnknownName, and UserError for metrics
    that need more than counts.
    """
    metric = find_metric(metric_name)
    if metric.counted is None:
        raise UserError(f"metric '{metric_name}' cannot be computed from confusion counts; use `score`.")
    counts = np.asarray(confusion, dtype=np.int64)
    metric.check_classes(counts.shape[-1])
    return np.where(_total(counts) > 0, metric.counted(counts), np.nan)


def find_metric(name: str, where: str = "") -> Metric:
    """The metric called `name`; raises UnknownName."""
    if name not in METRICS:
        raise UnknownName("metric", name, METRICS, where)
    return METRICS[name]


def _accuracy(labels: NDArray[np.generic], predictions: NDArray[np.generic]) -> float:
    from sklearn.metrics import accuracy_score

    return float(accuracy_score(labels, predictions))


def _f1(labels: NDArray[np.generic], predictions: NDArray[np.generic]) -> float:
    from sklearn.metrics import f1_score

    return float(f1_score(labels, predictions, pos_label=1, zero_division=0))


def _acc_f1(labels: NDArray[np.generic], predictions: NDArray[np.generic]) -> float:
    return (_accuracy(labels, predictions) + _f1(labels, predictions)) / 2


def _matthews(labels: NDArray[np.generic], predictions: NDArray[np.generic]) -> float:
    from sklearn.metrics import matthews_corrcoef

    # Zero by definition; scikit-learn warns when both hold one and the same class.
    if _constant(labels) or _constant(predictions):
        return 0.0
    return float(matthews_corrcoef(labels, predictions))


def _pearson(labels: NDArray[np.generic], predictions: NDArray[np.generic]) -> float:
    from scipy.stats import pearsonr

    # Undefined for a model that always gives the same number; 0 is what it is worth.
    if _constant(labels) or _constant(predictions):
        return 0.0
    return float(pearsonr(labels.astype(np.float64), predictions.astype(np.float64)).statistic)


def _spearman(labels: NDArray[np.generic], predictions: NDArray[np.generic]) -> float:
    from scipy.stats import spearmanr

    if _constant(labels) or _constant(predictions):
        return 0.0
    return float(spearmanr(labels.astype(np.float64), predictions.astype(np.float64)).statistic)


def _pearson_spearman(labels: NDArray[np.generic], predictions: NDArray[np.generic]) -> float:
    return (_pearson(labels, predictions) + _spearman(labels, predictions)) / 2


def _constant(values: NDArray[np.generic]) -> bool:
    return bool((values == values[:1]).all())


def _total(confusion: Counts) -> Counts:
    total: Counts = confusion.sum(axis=(-2, -1))
    return total


def _ratio(numerator: NDArray[np.number], denominator: NDArray[np.number]) -> Floats:
    """`numerator` / `denominator` as float64, 0 where the denominator is 0."""
    top, bottom = np.asarray(numerator, dtype=np.float64), np.asarray(denominator, dtype=np.float64)
    return np.divide(top, bottom, out=np.zeros_like(top), where=bottom != 0)


def _counted_accuracy(confusion: Counts) -> Floats:
    return _ratio(np.trace(confusion, axis1=-2, axis2=-1), _total(confusion))


def _counted_f1(confusion: Counts) -> Floats:
    """2 TP / (2 TP + FP + FN) of class 1; 0 when class 1 neither occurs nor is predicted."""
    labelled, predicted = confusion[..., 1, :].sum(axis=-1), confusion[..., :, 1].sum(axis=-1)
    return _ratio(2 * confusion[..., 1, 1], labelled + predicted)


def _counted_acc_f1(confusion: Counts) -> Floats:
    return (_counted_accuracy(confusion) + _counted_f1(confusion)) / 2


def _counted_matthews(confusion: Counts) -> Floats:
    """Gorodkin's R_K (2004), for any number of classes, from totals of labels t and predictions p.

    (N trace - sum t p) / sqrt((N^2 - sum t^2) (N^2 - sum p^2)); each term fits int64, their product may not.
    """
    total = _total(confusion)
    labelled, predicted = confusion.sum(axis=-1), confusion.sum(axis=-2)
    covariance = np.trace(confusion, axis1=-2, axis2=-1) * total - (labelled * predicted).sum(axis=-1)
    spread_labels = (total**2 - (labelled**2).sum(axis=-1)).astype(np.float64)
    spread_predictions = (total**2 - (predicted**2).sum(axis=-1)).astype(np.float64)
    return _ratio(covariance, np.sqrt(spread_labels * spread_predictions))


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("accuracy", "accuracy", _accuracy, _counted_accuracy),
        Metric("f1", "F1", _f1, _counted_f1, binary=True),
        Metric("acc_f1", "mean of accuracy and F1", _acc_f1, _counted_acc_f1, binary=True),
        Metric("matthews", "MCC", _matthews, _counted_matthews),
        Metric("pearson", "Pearson", _pearson),
        Metric("spearman", "Spearman", _spearman),
        Metric("pearson_spearman", "mean of Pearson and Spearman", _pearson_spearman),
    )
}
