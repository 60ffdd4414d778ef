import math

import pandas as pd
import pytest

from eebench.report.sections.elue import Gain, _average, elue, gain


def curve(*points):
    return pd.DataFrame(points, columns=["flops_per_sample", "score_mean"]).astype(
        {"flops_per_sample": "Int64"}
    )


REFERENCE = curve((200, 0.7), (100, 0.5), (200, 0.6))


def test_points_lie_above_the_reference_at_their_own_cost():
    # Of the two at 200 the better counts: at 150 the reference has 0.6, at 175 0.65, at 100 0.5.
    found = gain(curve((150, 0.65), (175, 0.64), (100, 0.53)), REFERENCE)
    assert found.mean == pytest.approx((0.05 - 0.01 + 0.03) / 3) and (found.used, found.points) == (3, 3)


def test_outside_the_reference_nothing_is_compared():
    found = gain(curve((99, 0.9), (201, 0.9), (200, 0.8)), REFERENCE)
    assert found.mean == pytest.approx(0.1) and (found.used, found.points) == (1, 3)
    assert math.isnan(gain(curve((50, 0.9)), REFERENCE).mean)
    assert gain(curve(), REFERENCE).points == 0 and gain(curve((150, 0.5)), curve()).used == 0
    assert gain(curve((None, 0.5), (150, None)), REFERENCE).points == 0


def test_the_table_and_its_definition(ground, section):
    text, meaning = elue(
        section(kind="elue", reference="pabee", methods=["gaml", "gaml-small", "lost"]), ground
    )
    body = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()[2:]]
    # PABEE has 0.25 at 1000/3 and 0.35 at 1000/1.9: at gaml's 500 it has 0.3364.
    assert body == [["GAML-BERT", "+4.4 (1 of 1)", "+4.4"], ["GAML-BERT (gaml-small)", "- (0 of 1)", "-"]]
    assert meaning.startswith("ELUE score (what ELUE's leaderboard ranks by") and "minus PABEE's" in meaning


def test_without_the_reference(ground, section):
    assert list(elue(section(kind="elue", reference="lost", methods=["gaml"]), ground)) == []


def test_a_case_worked_by_hand():
    """ElasticBERT scores 70, 80 and 86 at 100, 200 and 400 MFLOPs; a method has three points there, one elsewhere.

    At 150 it has 75, at 300 it has 83, at 400 it has 86; the method has 77, 82 and 88: (2 - 1 + 2) / 3 = 1.
    On the other task the method lies 3 above. The ELUE score is (1 + 3) / 2 = 2 points.
    """
    elastic = curve((100_000_000, 0.70), (200_000_000, 0.80), (400_000_000, 0.86))
    first = gain(curve((150_000_000, 0.77), (300_000_000, 0.82), (400_000_000, 0.88)), elastic)
    second = gain(curve((200_000_000, 0.83)), elastic)
    assert first.mean == pytest.approx(0.01) and second.mean == pytest.approx(0.03)
    assert _average([first, second]) == pytest.approx(0.02)
    assert gain(elastic, elastic).mean == 0.0  # ElasticBERT itself
    assert math.isnan(_average([first, Gain(math.nan, 0, 2)]))
