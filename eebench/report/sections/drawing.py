"""The figures of sections: score against a number, several quantities against one, and how often a value occurs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
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


@dataclass(frozen=True)
class Panel:
    """One of several plots above each other: its curves (y by x) and what y is."""

    curves: Mapping[str, Mapping[float, float]]
    y_label: str


def panels_svg(panels: Sequence[Panel], x_label: str, title: str) -> bytes:
    """Plots above each other with one x axis, whose numbers are counted. Empty without points."""
    drawn = [panel for panel in panels if any(panel.curves.values())]
    if not drawn:
        return b""
    with style():
        figure = Figure(figsize=(8.6, 3.1 * len(drawn) + 0.6), layout="constrained")
        FigureCanvasSVG(figure)
        plots = figure.subplots(len(drawn), 1, sharex=True, squeeze=False)[:, 0]
        index = 0
        for axes, panel in zip(plots, drawn, strict=True):
            axes.spines["right"].set_visible(False)
            axes.set_ylabel(short_label(panel.y_label))
            axes.ticklabel_format(axis="y", useOffset=False, style="plain")
            for name, curve in panel.curves.items():
                places = sorted(curve)
                table = pd.DataFrame({"x": places, "score": [curve[place] for place in places]})
                draw_line(axes, table.assign(score_std=math.nan), Line("x", name, curve_look(index), False))
                index += 1
        plots[0].set_title(short_label(title, 80), loc="left")
        plots[-1].set_xlabel(short_label(x_label))
        plots[-1].xaxis.set_major_locator(MaxNLocator(nbins=13, integer=True))
        return finish(figure, *plots)


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
