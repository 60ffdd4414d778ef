"""The figures of sections: score against a number, and how often a value occurs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from eebench.report.figures import (
    INK,
    LONG_DASHES,
    MOST_BANDS,
    Caption,
    Line,
    canvas,
    curve_look,
    draw_line,
    finish,
    label_scores,
    short_label,
    style,
)
from eebench.report.sections.ground import Spread


def curves_svg(
    curves: Mapping[str, Mapping[float, Spread]], x_label: str, caption: Caption, whole: bool = False
) -> bytes:
    """Score against a number, a line per name; `whole` for numbers that are counted. Empty without points."""
    known = {name: curve for name, curve in curves.items() if curve}
    if not known:
        return b""
    with style():
        figure, axes = canvas(len(known))
        for index, (name, curve) in enumerate(known.items()):
            places = sorted(curve)
            table = pd.DataFrame(
                {
                    "x": places,
                    "score": [100 * curve[place].mean for place in places],
                    "score_std": [curve[place].std for place in places],
                }
            )
            draw_line(axes, table, Line("x", name, curve_look(index), len(known) <= MOST_BANDS))
        axes.set_xlabel(short_label(x_label))
        if whole:
            axes.xaxis.set_major_locator(MaxNLocator(nbins=13, integer=True))
        label_scores(axes, caption)
        return finish(figure, axes)


def shares_svg(
    shares: Mapping[str, ArrayLike], edges: Sequence[float], x_label: str, caption: Caption, guide: float
) -> bytes:
    """Share of the steps in each bin, an outline per name; `guide` is marked. Open bins are drawn as wide as others."""
    width = edges[2] - edges[1]
    finite = np.asarray(edges, dtype=np.float64)
    finite[0] = finite[1] - width if math.isinf(finite[0]) else finite[0]
    finite[-1] = finite[-2] + width if math.isinf(finite[-1]) else finite[-1]
    with style():
        figure, axes = canvas(len(shares))
        for index, (name, values) in enumerate(shares.items()):
            look = curve_look(index)
            percent = 100 * np.asarray(values)
            axes.stairs(percent, finite, color=look.colour, linestyle=look.dashes, linewidth=1.5,
                        label=short_label(name), fill=False)  # fmt: skip
        axes.axvline(guide, color=INK, linestyle=LONG_DASHES, linewidth=1.0)
        axes.set_xlabel(short_label(x_label, 80))
        axes.set_title(short_label(caption.title, 80), loc="left")
        axes.set_ylabel(short_label(caption.metric))
        return finish(figure, axes)
