"""Which setting of a rule is measured: the one named, or the best on dev that is fast enough."""

from __future__ import annotations

import re
from dataclasses import dataclass

from eebench.errors import UserError
from eebench.operating import curve_of
from eebench.rules.base import Rule, parse_setting
from eebench.rules.catalogue import find_rule
from eebench.stats import best_at_speedup
from eebench.sweep import Measured, point_rows

TARGET = 2.0


@dataclass(frozen=True)
class Chosen:
    """One setting of a rule, with its speed-up in FLOPs."""

    rule: Rule
    threshold: float
    speedup_flops: float

    @property
    def setting(self) -> str:
        """Canonical text, `S=0.1`."""
        return self.rule.setting(self.threshold)


def parse_speedup(text: str) -> float:
    """`"2x"` or `"2"` -> 2.0; UserError when it is no speed-up of 1 or more."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)x?", text.strip())
    if found is None or float(found[1]) < 1.0:
        raise UserError(
            f"--speedup {text}: write how many times as fast, 1 or more, for example --speedup 2x."
        )
    return float(found[1])


def parse_at(text: str) -> tuple[Rule, float]:
    """`"entropy:S=0.3"` -> the rule and its threshold; `patient-confident:t=2;tau=0.3` names all knobs."""
    name, colon, setting = text.partition(":")
    if not colon:
        raise UserError(f"--at {text}: write rule and setting, for example --at entropy:S=0.3.")
    values = dict(parse_setting(setting))
    plain = find_rule(name, "--at")
    if plain.knob not in values:
        raise UserError(
            f"--at {text}: {name} needs its {plain.knob}, for example --at {name}:{plain.knob}=1."
        )
    threshold = values.pop(plain.knob)
    return type(plain)(**values), threshold


def at_setting(measured: Measured, rule: Rule, threshold: float) -> Chosen:
    """One setting as named; UserError when the model or the rule has no such setting."""
    (row,) = point_rows(measured.headline, rule, [threshold])
    return Chosen(rule, threshold, row["full_flops"] / row["flops"])


def at_speedup(measured: Measured, rule: Rule, target: float) -> Chosen:
    """The setting with the best score at `target` times the speed or more; the fastest where none is fast enough."""
    curve = curve_of(rule, [measured])
    place = best_at_speedup(curve.speedups, curve.scores, target)
    if place is None:
        place = int(curve.speedups.argmax())
    return Chosen(rule, curve.threshold(place), float(curve.speedups[place]))
