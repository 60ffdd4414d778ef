import pytest

from eebench.errors import UnknownName
from eebench.rules.catalogue import RULES, find_rule, rule_family, rule_form


def test_rules_are_found_by_their_own_name():
    assert {name: find_rule(name).name for name in RULES} == {name: name for name in RULES}


def test_an_unknown_rule():
    with pytest.raises(UnknownName, match="unknown rule 'entropi'; did you mean 'entropy'"):
        find_rule("entropi")


def test_knobs_come_after_a_semicolon():
    assert find_rule("patient-confident;t=3").knobs == {"t": 3.0}


def test_a_family_has_every_combination_of_knobs():
    assert [rule.knobs["t"] for rule in rule_family("patient-confident")] == [2.0, 1.0, 3.0, 4.0]
    assert len(rule_family("patient-confident;t=3")) == len(rule_family("entropy")) == 1


def test_a_form_is_spelt_as_settings_are():
    assert rule_form("cka;theta=0.060") == "cka;theta=0.06"
    assert (rule_form("cka"), rule_form("entropy")) == ("cka", "entropy")
