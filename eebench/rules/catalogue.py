"""All exit rules by name."""

from __future__ import annotations

from itertools import product

from eebench.errors import UnknownName
from eebench.rules.alignment import (
    AbsoluteAlignment,
    AbsoluteConsecutiveAlignment,
    ConsecutiveAlignment,
    KernelAlignment,
)
from eebench.rules.base import Rule, number, parse_setting
from eebench.rules.budgeted import Budgeted
from eebench.rules.confidence import Entropy, MaxProbability, NormalizedEntropy
from eebench.rules.learned import LearnedScore
from eebench.rules.patience import Patience, PatientConfident, ScorePatience

RULES: dict[str, type[Rule]] = {
    rule.name: rule
    for rule in (
        Budgeted, Entropy, NormalizedEntropy, MaxProbability, Patience, ScorePatience, PatientConfident,
        LearnedScore, KernelAlignment, AbsoluteAlignment, ConsecutiveAlignment, AbsoluteConsecutiveAlignment,
    )
}  # fmt: skip


def find_rule(name: str, where: str = "") -> Rule:
    """The rule called `name`, with knobs after a semicolon (`patient-confident;t=3`); raises UnknownName."""
    plain, _, knobs = name.partition(";")
    if plain not in RULES:
        raise UnknownName("rule", plain, RULES, where)
    return RULES[plain](**(parse_setting(knobs) if knobs else {}))


def rule_form(name: str, where: str = "") -> str:
    """The name of a rule as results spell it: knobs all there and in order, if any is named (`cka;theta=0.060`)."""
    rule = find_rule(name, where)
    knobs = [f"{knob}={number(value)}" for knob, value in rule.knobs.items()] if ";" in name else []
    return ";".join([rule.name, *knobs])


def rule_family(name: str, where: str = "") -> list[Rule]:
    """The rules that `name` asks a sweep for: one if it names its knobs, else one per combination of them."""
    rule = find_rule(name, where)
    if ";" in name or not rule.fixed:
        return [rule]
    return [
        type(rule)(**dict(zip(rule.fixed, values, strict=True))) for values in product(*rule.fixed.values())
    ]
