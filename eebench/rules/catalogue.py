"""All exit rules by name."""

from __future__ import annotations

from eebench.errors import UnknownName
from eebench.rules.base import Rule
from eebench.rules.budgeted import Budgeted
from eebench.rules.confidence import Entropy, MaxProbability, NormalizedEntropy
from eebench.rules.patience import Patience

RULES: dict[str, type[Rule]] = {
    rule.name: rule for rule in (Budgeted, Entropy, NormalizedEntropy, MaxProbability, Patience)
}


def find_rule(name: str, where: str = "") -> Rule:
    """The rule called `name`; raises UnknownName."""
    if name not in RULES:
        raise UnknownName("rule", name, RULES, where)
    return RULES[name]()
