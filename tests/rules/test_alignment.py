import math

import pytest
import torch

from eebench.rules.alignment import KernelAlignment, changes, checks
from eebench.rules.base import Geometry, Signals, judge
from eebench.rules.catalogue import find_rule

LAYERS = 12


def counts(rule, similarities):
    """The criterion after each layer for one sample; `similarities[i]` is that of layers i + 1 and i + 2."""
    state = rule.start(1, torch.device("cpu"))
    seen = [math.nan, *similarities]
    return [float(judge(rule, layer, Signals(None, similarity=torch.tensor([value])), state))
            for layer, value in enumerate(seen, start=1)]  # fmt: skip


def test_changes_below_theta_are_counted_from_the_third_layer_on():
    # Changes: +0.1, -0.2, +0.05: two of them below 0.06.
    assert counts(find_rule("cka;theta=0.06"), [0.5, 0.6, 0.4, 0.45]) == [0, 0, 0, 1, 2]


def test_variants():
    similarities = [0.5, 0.6, 0.4, 0.45]
    assert counts(find_rule("cka-abs;theta=0.06"), similarities) == [0, 0, 0, 0, 1]
    assert counts(find_rule("cka-consecutive;theta=0.06"), [0.5, 0.5, 0.6, 0.5]) == [0, 0, 1, 0, 1]
    assert counts(find_rule("cka-abs-consecutive;theta=0.06"), similarities) == [0, 0, 0, 0, 1]


@pytest.mark.parametrize("times", range(1, 13))
def test_extreme_thetas_are_static_exits(times):
    generator = torch.Generator().manual_seed(times)
    similarities = torch.rand(LAYERS - 1, generator=generator).tolist()

    def leaves_at(theta):
        reached = [layer for layer, count in enumerate(counts(KernelAlignment(theta=theta), similarities), start=1)
                   if count >= times and layer < LAYERS]  # fmt: skip
        return min([*reached, LAYERS])

    assert leaves_at(math.inf) == min(times + 2, LAYERS)
    assert leaves_at(-math.inf) == LAYERS


def test_an_undefined_similarity_counts_nothing():
    assert counts(find_rule("cka"), [math.nan, math.nan, 0.5, 0.5]) == [0, 0, 0, 0, 1]


def test_grid_and_setting():
    rule = find_rule("cka;theta=0.06")
    assert rule.grid(Geometry(tuple(range(1, 7)), 2)) == [4.0, 3.0, 2.0, 1.0]
    assert rule.setting(2.0) == "theta=0.06;R=2"


def test_a_decision_tips_where_a_change_is_close_to_theta():
    rule, state = find_rule("cka;theta=0.06"), None
    state = rule.start(2, torch.device("cpu"))
    for values in ([0.5, 0.5], [0.56005, 0.6]):
        signals = Signals(None, similarity=torch.tensor(values))
        criterion = judge(rule, 2, signals, state)
        distance = rule.distance(criterion, signals, state, 1.0)
    assert (distance < 1e-4).tolist() == [True, False]


SIMILARITIES = torch.tensor([[math.nan, math.nan], [0.5, 0.5], [0.75, 0.25], [math.nan, 0.5]])


def test_changes_of_every_sample_at_once():
    found = changes(SIMILARITIES)
    assert found.isnan().tolist() == [[True, True], [True, True], [False, False], [True, False]]
    assert found[2].tolist() == [0.25, -0.25] and float(found[3, 1]) == 0.25


def test_a_skipped_layer_is_passed_over():
    executed = torch.tensor([[True, True], [True, True], [True, False], [True, True]])
    found = changes(SIMILARITIES, executed)
    # The second sample compares layer 4 with layer 2: no change.
    assert float(found[2, 0]) == 0.25 and found[2, 1].isnan() and float(found[3, 1]) == 0.0


def test_checks_made_and_fired():
    found = changes(SIMILARITIES)
    assert checks(find_rule("cka;theta=0.06"), found) == (3, 1)
    assert checks(find_rule("cka;theta=0.25"), found) == (3, 1)  # strictly below
    assert checks(find_rule("cka-abs;theta=0.06"), found) == (3, 0)
    assert checks(find_rule("cka-abs;theta=0.3"), found) == (3, 3)


def test_checks_are_what_the_rule_counts():
    generator = torch.Generator().manual_seed(1)
    similarities = torch.cat([torch.full((1, 50), math.nan), torch.rand(LAYERS - 1, 50, generator=generator)])
    rule, state = find_rule("cka"), find_rule("cka").start(50, torch.device("cpu"))
    for layer, similarity in enumerate(similarities, start=1):
        count = judge(rule, layer, Signals(None, similarity=similarity), state)
    assert checks(rule, changes(similarities)) == (50 * (LAYERS - 2), int(count.sum()))
