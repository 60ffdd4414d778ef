import numpy as np
import pytest

from eebench.tasks.scale import LabelScale


def test_scores_become_mean_zero_and_deviation_one():
    scores = np.array([1, 2, 3, 6], dtype=np.float32)
    scale = LabelScale.of(scores)
    assert scale == LabelScale(3.0, pytest.approx(3.5**0.5))  # deviations -2, -1, 0, 3: 14 / 4
    seen = scale.standardised(scores)
    assert seen.dtype == np.float32
    assert seen.tolist() == pytest.approx([value / 3.5**0.5 for value in (-2, -1, 0, 3)])


def test_classes_have_no_scale():
    assert LabelScale.of(np.array([0, 1, 1])) is None


def test_equal_scores_keep_their_unit():
    assert LabelScale.of(np.full(3, 2.5, dtype=np.float32)) == LabelScale(2.5, 1.0)


def test_the_record_of_a_run_gives_it_back():
    assert LabelScale.read({"label_scale": {"mean": 2.5, "deviation": 1.5}}) == LabelScale(2.5, 1.5)
    assert LabelScale.read({}) is None
