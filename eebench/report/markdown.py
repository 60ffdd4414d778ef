"""Text of a rendered page: escaping, tables, and one way to write each kind of number."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pandas as pd
from tabulate import tabulate

MISSING = "-"
"""What stands where a number is missing."""


def plain(text: object) -> str:
    """Text on one line, without the characters that XML forbids."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]+", " ", str(text)).strip()


def escape(text: object) -> str:
    """Text from data, so that Markdown shows it as it is: no markup, no table cell, no link comes out of it.

    Example: ``escape("a|b <i> & *c*")`` is ``a\\|b &lt;i&gt; &amp; \\*c\\*``.
    """
    escaped = plain(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    escaped = re.sub(r"([\\`*\[\]|~$])", r"\\\1", escaped)
    # An underscore inside a word (`two_stage`) is harmless; escaping it would only make the file ugly.
    return re.sub(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])", r"\\_", escaped)


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], sides: str = "l") -> str:
    """A Markdown table of ready-made cells; `sides` has "l" or "r" for each column, "r" where it ends."""
    names = {"l": "left", "r": "right"}
    alignment = [names[side] for side in sides.ljust(len(headers), "r")]
    # Without disable_numparse "1.00" would become "1".
    return tabulate(rows, headers=headers, tablefmt="pipe", disable_numparse=True, colalign=alignment)


def percent(score: float, places: int = 1) -> str:
    """A score in 0..1 as percent without the sign: 0.913 -> "91.3"."""
    if pd.isna(score):
        return MISSING
    text = f"{100 * score:.{places}f}"
    return text.removeprefix("-") if float(text) == 0.0 else text


def percent_with_spread(mean: float, std: float) -> str:
    """Mean and standard deviation over seeds in percent; one seed has no deviation."""
    return percent(mean) if pd.isna(std) else f"{percent(mean)} ± {percent(std)}"


def signed(difference: float) -> str:
    """A difference of scores in points of percent: 0.0123 -> "+1.2"."""
    text = percent(difference)
    return f"+{text}" if not pd.isna(difference) and float(text) > 0 else text


def times(speedup: float) -> str:
    """A speed-up: 1.954 -> "1.95x"."""
    return MISSING if pd.isna(speedup) else f"{speedup:.2f}x"


def decimal(value: float, places: int) -> str:
    """A number in fixed notation."""
    return MISSING if pd.isna(value) else f"{value:.{places}f}"


def mega(flops: int, places: int = 1) -> str:
    """FLOPs in millions: 1811939328 -> "1,811.9"."""
    return MISSING if pd.isna(flops) else f"{int(flops) / 1e6:,.{places}f}"


def integer(value: int) -> str:
    """An integer with its thousands apart."""
    return MISSING if pd.isna(value) else f"{int(value):,}"


def count(value: int) -> str:
    """A number of parameters as papers print it: 109483778 -> "109.5M"."""
    if value >= 1e6:
        return f"{value / 1e6:.1f}M"
    return f"{value / 1e3:.1f}k" if value >= 1e3 else str(int(value))
