"""The numbers of a curve against values worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from eebench.stats import (
    aggregate_seeds,
    area_under_front,
    best_at_speedup,
    fast_enough,
    fastest_within,
    mean_and_std,
    nearest_speedup,
    pareto_front,
    score_at_speedup,
    speedup_within,
)


class TestParetoFront:
    def test_keeps_what_nothing_beats(self):
        cost = [3.0, 1.0, 2.0, 4.0, 2.5]
        score = [0.8, 0.5, 0.9, 0.95, 0.7]
        assert pareto_front(cost, score).tolist() == [False, True, True, True, False]

    def test_equal_cost_keeps_the_better_and_equal_score_the_cheaper(self):
        assert pareto_front([1, 1, 2], [0.5, 0.6, 0.6]).tolist() == [False, True, False]

    def test_of_identical_points_the_first(self):
        assert pareto_front([2, 1, 1, 2], [0.9, 0.5, 0.5, 0.9]).tolist() == [True, True, False, False]

    def test_a_point_without_a_number_is_no_point(self):
        nan = float("nan")
        assert pareto_front([nan, 1, 2], [0.9, nan, 0.1]).tolist() == [False, False, True]
        assert pareto_front([None, 1, 2], [0.9, None, 0.1]).tolist() == [False, False, True]

    def test_the_front_is_a_mask(self):
        names = np.array(["a", "b", "c"])
        assert names[pareto_front([1, 2, 3], [0.5, 0.9, 0.8])].tolist() == ["a", "b"]

    def test_nothing(self):
        assert pareto_front([], []).tolist() == []

    def test_agrees_with_the_definition_on_random_points(self):
        rng = np.random.default_rng(7)
        # Few distinct values, so that every kind of tie occurs.
        cost, score = rng.integers(0, 9, 120), rng.integers(0, 9, 120)
        mask = pareto_front(cost, score)
        for i in range(len(cost)):
            better = (cost <= cost[i]) & (score >= score[i]) & ((cost < cost[i]) | (score > score[i]))
            earlier_twin = (cost[:i] == cost[i]) & (score[:i] == score[i])
            assert mask[i] == (not better.any() and not earlier_twin.any())

    def test_lengths_must_agree(self):
        with pytest.raises(ValueError, match=r"2 costs or speed-ups, but 1 scores"):
            pareto_front([1, 2], [0.5])


class TestSpeedupWithin:
    def test_the_fastest_of_the_good_ones(self):
        assert speedup_within([1.0, 1.5, 2.0, 3.0], [0.90, 0.895, 0.891, 0.88], 0.90) == 2.0

    def test_exactly_one_point_below_counts(self):
        # In binary 0.1 - 0.01 is above 0.09 by a rounding error.
        assert 0.1 - 0.01 > 0.09
        assert speedup_within([1.0, 2.0], [0.1, 0.09], 0.1) == 2.0

    def test_a_larger_drop_allows_more(self):
        assert speedup_within([1.0, 2.0, 3.0], [0.9, 0.89, 0.85], 0.9, drop=0.05) == 3.0

    def test_none_is_good_enough(self):
        assert speedup_within([2.0, 3.0], [0.5, 0.4], 0.9) is None
        assert speedup_within([], [], 0.9) is None

    def test_a_missing_score_never_counts(self):
        assert speedup_within([5.0, 2.0], [float("nan"), 0.9], 0.9) == 2.0


class TestScoreAtSpeedup:
    def test_the_best_of_the_fast_ones(self):
        assert score_at_speedup([1.0, 2.0, 2.5, 4.0], [0.95, 0.86, 0.88, 0.7]) == 0.88

    def test_another_target(self):
        assert score_at_speedup([1.0, 2.0, 4.0], [0.95, 0.86, 0.7], target=3.0) == 0.7

    def test_rounding_does_not_lose_the_target(self):
        assert score_at_speedup([2.0 - 1e-13], [0.8]) == 0.8

    def test_none_is_fast_enough(self):
        assert score_at_speedup([1.0, 1.9], [0.9, 0.8]) is None


class TestAreaUnderFront:
    def test_one_point(self):
        assert area_under_front([0.25], [0.8]) == pytest.approx(0.75 * 0.8)

    def test_steps_by_hand(self):
        # 0 to 0.2: nothing; 0.2 to 0.5: 0.6; 0.5 to 1: 0.9.  0.3 * 0.6 + 0.5 * 0.9 = 0.63
        assert area_under_front([0.5, 0.2], [0.9, 0.6]) == pytest.approx(0.63)

    def test_a_dominated_point_changes_nothing(self):
        assert area_under_front([0.5, 0.2, 0.7], [0.9, 0.6, 0.3]) == pytest.approx(0.63)

    def test_points_at_or_beyond_the_full_cost_add_nothing(self):
        assert area_under_front([0.5, 0.2, 1.0, 1.3], [0.9, 0.6, 0.99, 1.0]) == pytest.approx(0.63)
        assert area_under_front([1.02], [0.9]) == 0.0

    def test_of_equally_cheap_points_the_better(self):
        assert area_under_front([0.5, 0.5], [0.4, 0.8]) == pytest.approx(0.4)

    def test_a_negative_correlation_is_negative_area(self):
        assert area_under_front([0.5], [-0.2]) == pytest.approx(-0.1)

    def test_nothing_and_missing(self):
        assert area_under_front([], []) == 0.0
        assert area_under_front([0.5, float("nan")], [float("nan"), 0.9]) == 0.0


class TestMeanAndStd:
    def test_divisor_is_one_less_than_the_seeds(self):
        # deviations -1, 0, 1; squares sum to 2; 2 / (3 - 1) = 1
        assert mean_and_std([1.0, 2.0, 3.0]) == (2.0, 1.0)

    def test_one_seed_has_no_deviation(self):
        assert mean_and_std([0.7]) == (0.7, None)

    def test_a_missing_seed_is_not_left_out(self):
        mean, std = mean_and_std([0.7, float("nan")])
        assert std is not None
        assert math.isnan(mean) and math.isnan(std)

    def test_nothing_is_refused(self):
        with pytest.raises(ValueError, match="at least one"):
            mean_and_std([])

    def test_single_precision_numbers_are_averaged_in_double(self):
        # 2^24 + 1 has no fp32: a sum in fp32 would lose both ones.
        mean, _ = mean_and_std(np.array([2**24, 1, 1], dtype=np.float32))
        assert mean == (2**24 + 2) / 3


class TestAggregateSeeds:
    ROWS = pd.DataFrame(
        {
            "method": ["pabee", "pabee", "deebert", "deebert", "alone"],
            "setting": ["patience=3", "patience=3", "S=0.1", "S=0.1", "S=0.1"],
            "seed": [1, 2, 1, 2, 1],
            "score": [0.5, 0.7, 0.9, 0.8, 0.4],
            "flops": [10, 30, 5, 5, 1],
        }
    )

    def test_means_deviations_and_counts_in_order_of_appearance(self):
        table = aggregate_seeds(self.ROWS, ["method", "setting"], ["score", "flops"])
        columns = ["method", "setting", "score_mean", "score_std", "flops_mean", "flops_std", "seeds"]
        assert list(table.columns) == columns
        assert table["method"].tolist() == ["pabee", "deebert", "alone"]
        assert table["score_mean"].tolist() == pytest.approx([0.6, 0.85, 0.4])
        # two values d apart: sqrt(2 * (d/2)^2 / 1) = d / sqrt(2)
        assert table["score_std"].tolist()[:2] == pytest.approx([0.2 / math.sqrt(2), 0.1 / math.sqrt(2)])
        assert table["flops_mean"].tolist() == [20.0, 5.0, 1.0]
        assert table["seeds"].tolist() == [2, 2, 1]
        assert math.isnan(table["score_std"].iloc[2])

    def test_rows_need_not_lie_together(self):
        mixed = self.ROWS.iloc[[2, 0, 4, 1, 3]]
        table = aggregate_seeds(mixed, ["method"], ["score"])
        assert table["method"].tolist() == ["deebert", "pabee", "alone"]
        assert table["score_mean"].tolist() == pytest.approx([0.85, 0.6, 0.4])

    def test_a_key_without_a_name_is_a_combination_too(self):
        nameless = self.ROWS.assign(setting=["S=1", "S=1", None, None, "S=1"])
        table = aggregate_seeds(nameless, ["method", "setting"], ["flops"])
        assert table["method"].tolist() == ["pabee", "deebert", "alone"]
        assert table["setting"].isna().tolist() == [False, True, False]
        assert table["seeds"].tolist() == [2, 2, 1]

    def test_a_seed_counted_twice_is_refused(self):
        twice = pd.concat([self.ROWS, self.ROWS.iloc[[0]]])
        with pytest.raises(ValueError, match="seed appears twice"):
            aggregate_seeds(twice, ["method", "setting"], ["score"])


def test_places_of_the_numbers_a_summary_shows():
    nan = float("nan")
    assert fastest_within([1, 2, 3], [0.90, 0.89, 0.85], 0.90) == 1
    assert fastest_within([nan, 2, 2], [0.9, 0.9, 0.9], 0.9) == 1
    assert fastest_within([1, 2], [0.5, nan], 0.9) is None
    assert best_at_speedup([1.0, 2.1, 3.0], [0.9, 0.86, 0.8]) == 1
    assert best_at_speedup([2.0, 2.0, 2.0], [nan, 0.8, 0.8]) == 1
    assert best_at_speedup([1.9], [0.9]) is None


@pytest.mark.parametrize(
    ("speedup", "enough"),
    [
        (1.98, False),
        (1.994, False),
        (np.nextafter(1.995, 0), False),
        (1.995, True),
        (1.996, True),
        (2.0, True),
    ],
)
def test_a_speedup_counts_as_it_is_printed(speedup, enough):
    """1.996x prints as 2.00x, 1.994x as 1.99x; a wider tolerance would let 1.98x pass for twice the speed."""
    assert (f"{speedup:.2f}" == "2.00") == enough
    assert (best_at_speedup([speedup], [0.9]) is not None) == enough
    assert bool(fast_enough([speedup], 2.0)[0]) == enough


def test_the_nearest_speedup():
    assert nearest_speedup([1.0, 1.9, 2.2], [0.9, 0.8, 0.7]) == 1
    assert nearest_speedup([1.9, 2.1, float("nan")], [0.8, 0.85, 0.99]) == 1  # as near, and better
    assert nearest_speedup([5.0], [0.1]) == 0


def test_a_speedup_that_is_not_known_is_not_fast():
    assert fast_enough([None, 2.0], 2.0).tolist() == [False, True]


def test_points_in_rows_and_columns_are_read_in_reading_order():
    speedups, scores = np.array([[1.0, 2.0], [3.0, 4.0]]), [0.9, 0.8, 0.7, 0.6]
    for first, second in ((speedups, scores), (speedups.ravel(), np.reshape(scores, (4, 1)))):
        assert fastest_within(first, second, 0.7) == 2 and speedup_within(first, second, 0.7) == 3.0
        assert best_at_speedup(first, second) == 1 and score_at_speedup(first, second) == 0.8
        assert pareto_front(first, second).tolist() == [True, False, False, False]
