import pytest

from eebench.errors import UnknownName
from eebench.rules.catalogue import RULES, find_rule


def test_rules_are_found_by_their_own_name():
    assert {name: find_rule(name).name for name in RULES} == {name: name for name in RULES}


def test_an_unknown_rule():
    with pytest.raises(UnknownName, match="unknown rule 'entropi'; did you mean 'entropy'"):
        find_rule("entropi")
