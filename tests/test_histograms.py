import math

import pytest

from eebench.histograms import EDGES, Bin, bins_of, counts, mean_share, percentile, recorded, share_below

BINS = [Bin(-math.inf, -1.0, 1), Bin(-1.0, 0.0, 3), Bin(0.0, 1.0, 4), Bin(1.0, math.inf, 2)]


def test_bins_of_each_quantity():
    assert (
        EDGES["angle"][:3] == (0.0, 5.0, 10.0) and EDGES["angle"][-1] == 180.0 and len(EDGES["angle"]) == 37
    )
    assert EDGES["c"][:3] == (-math.inf, -5.0, -4.75) and EDGES["c"][-2:] == (5.0, math.inf)
    assert len(EDGES["flipped"]) == 101
    assert len(EDGES["c"]) == 43 and 0.0 in EDGES["c"] and 0.25 in EDGES["c"]
    assert EDGES["delta"][1:3] == (-0.5, -0.49) and len(EDGES["delta"]) == 103


def test_values_fall_where_they_belong():
    found = counts("angle", [0.0, 4.99, 5.0, 90.0, 180.0, math.nan])
    assert {place: int(count) for place, count in enumerate(found) if count} == {0: 2, 1: 1, 18: 1, 35: 1}
    found = bins_of("c", counts("c", [-7.0, -math.inf, -5.0, 0.0, 5.0, 1e9]))
    assert [tuple(part) for part in found if part.steps] == [
        (-math.inf, -5.0, 2), (-5.0, -4.75, 1), (0.0, 0.25, 1), (5.0, math.inf, 2),
    ]  # fmt: skip
    assert counts("angle", []).sum() == 0


def test_what_a_record_has():
    history = [{"loss": 1.0}, {"series": {"angle": [1.0, 2.0], "loss": [0.1]}}, {"series": {"angle": [91.0]}}]
    found = list(recorded({"history": history}))
    assert [(quantity, int(values.sum())) for quantity, values in found] == [("angle", 2), ("angle", 1)]
    assert list(recorded({})) == list(recorded({"history": [{}]})) == []


def test_shares_are_exact_at_edges_and_open_inside():
    assert share_below(BINS, 0.0) == (0.4, 0.4)
    assert share_below(BINS, 0.5) == (0.4, 0.8)
    assert share_below(BINS, -9.0) == (0.0, 0.1)
    assert all(math.isnan(share) for share in share_below([], 0.0))


def test_percentiles():
    assert percentile(BINS, 0.5) == pytest.approx(0.25)  # one of the four steps from 0 to 1
    assert percentile(BINS, 0.25) == pytest.approx(-0.5)
    assert percentile(BINS, 0.05) == -math.inf and percentile(BINS, 0.95) == math.inf
    assert math.isnan(percentile([Bin(0.0, 1.0, 0)], 0.5))


def test_the_mean_of_a_share_is_exact_at_its_ends():
    assert mean_share(bins_of("flipped", counts("flipped", [0.0, 1.0, 1.0, 0.0]))) == 0.5
    assert mean_share(bins_of("flipped", counts("flipped", [0.0, 0.121]))) == pytest.approx(0.125 / 2)
    assert math.isnan(mean_share([]))
