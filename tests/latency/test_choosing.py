import pytest

from eebench.cost.conventions import convention
from eebench.errors import UserError
from eebench.latency.choosing import at_setting, at_speedup, parse_at, parse_speedup
from eebench.rules.catalogue import find_rule
from eebench.stats import SPEEDUP_TOLERANCE
from eebench.sweep import Accounting, Measured, point_rows


@pytest.fixture
def measured(executor, toy_job):
    job = toy_job("joint")
    return Measured.of(job, executor.ensure_trace(job), Accounting(convention("layers"), None))


def test_speedups_as_text():
    assert (parse_speedup("2x"), parse_speedup(" 1.5 ")) == (2.0, 1.5)
    for wrong in ("fast", "0.5x", "-2", ""):
        with pytest.raises(UserError, match="--speedup"):
            parse_speedup(wrong)


def test_settings_as_text():
    rule, threshold = parse_at("patient-confident:t=3;tau=0.2")
    assert (rule.name, rule.knobs, threshold) == ("patient-confident", {"t": 3.0}, 0.2)
    assert rule.setting(threshold) == "t=3;tau=0.2"
    with pytest.raises(UserError, match="write rule and setting"):
        parse_at("entropy")
    with pytest.raises(UserError, match="entropy needs its S, for example --at entropy:S=1"):
        parse_at("entropy:tau=1")
    with pytest.raises(UserError, match="unknown rule 'entrpy'"):
        parse_at("entrpy:S=1")
    with pytest.raises(UserError, match="has no knob 'x'"):
        parse_at("entropy:S=1;x=2")


def test_the_best_score_that_is_fast_enough(measured):
    rule = find_rule("entropy")
    rows = point_rows(measured, rule, None)
    chosen = at_speedup(measured, rule, 1.3)
    enough = [row for row in rows if row["full_flops"] / row["flops"] >= 1.3]
    assert enough and chosen.speedup_flops >= 1.3 - SPEEDUP_TOLERANCE
    (own,) = point_rows(measured, rule, [chosen.threshold])
    assert own["score"] >= max(row["score"] for row in enough)  # no setting of the grid is better
    again = at_setting(measured, rule, chosen.threshold)
    assert again == chosen


def test_the_fastest_where_none_is_fast_enough(measured):
    rule = find_rule("budgeted")
    assert at_speedup(measured, rule, 50.0).threshold == 1.0


def test_a_setting_out_of_bounds_is_refused(measured):
    with pytest.raises(UserError, match=r"patience=9 is outside 1\.\.2"):
        at_setting(measured, find_rule("patience"), 9.0)
