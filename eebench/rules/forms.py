"""Forms of a rule in results: its name alone, or with the knobs that it fixes. Imports nothing heavy."""

from __future__ import annotations


def is_of(form: str, rule: str, setting: str) -> bool:
    """Whether a point with this rule and setting is one of a form.

    Example: ``is_of("cka;theta=0.06", "cka", "theta=0.06;R=2")``; the form ``cka`` takes every theta.
    """
    name, _, knobs = form.partition(";")
    return rule == name and (not knobs or setting.startswith(f"{knobs};"))
