import pytest
import torch

from eebench.errors import UserError
from eebench.rules.base import Geometry, join_rows, keep_rows, number, parse_setting
from eebench.rules.catalogue import RULES, find_rule

GEOMETRY = Geometry((1, 2, 3, 4, 5, 6), 2)


def test_settings_have_one_spelling():
    assert find_rule("entropy").setting(0.1) == "S=0.1"
    assert find_rule("patience").setting(3.0) == "patience=3"
    assert (number(1e-5), number(2.0)) == ("1e-05", "2")
    assert parse_setting("theta=0.06;R=2") == {"theta": 0.06, "R": 2.0}


def test_a_text_that_is_no_setting():
    with pytest.raises(UserError, match=r"'S:0\.1' is no setting"):
        parse_setting("S:0.1")


@pytest.mark.parametrize("name", RULES)
def test_default_grids_lie_within_bounds_and_are_distinct(name):
    rule = find_rule(name)
    grid = rule.grid(GEOMETRY)
    for threshold in grid:
        rule.check(threshold, GEOMETRY)
    assert len({rule.setting(threshold) for threshold in grid}) == len(grid) > 1


def test_thresholds_outside_the_bounds_are_refused():
    with pytest.raises(UserError, match=r"patience: patience=9 is outside 1\.\.6"):
        find_rule("patience").check(9, GEOMETRY)
    with pytest.raises(UserError, match="outside"):
        find_rule("entropy").check(float("nan"), GEOMETRY)
    with pytest.raises(UserError, match="outside"):
        find_rule("entropy").check(-0.1, GEOMETRY)


@pytest.mark.parametrize("name", RULES)
def test_state_has_one_row_per_sample_so_that_rows_can_leave(name):
    rule = find_rule(name)
    state = rule.start(5, torch.device("cpu"))
    kept = keep_rows(state, torch.tensor([True, False, True, False, False]))
    assert all(len(tensor) == 2 for tensor in kept.values())


def test_states_of_several_batches_join_in_order():
    parts = [
        {"count": torch.tensor([1.0, 2.0]), "recent": torch.tensor([[1, 2], [3, 4]])},
        {"count": torch.tensor([5.0]), "recent": torch.tensor([[7, 8]])},
    ]
    joined = join_rows(parts)
    assert joined["count"].tolist() == [1, 2, 5] and joined["recent"].tolist() == [[1, 2], [3, 4], [7, 8]]
    assert join_rows([{}, {}]) == {}
