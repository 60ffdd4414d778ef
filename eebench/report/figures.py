"""The figures of a page: score against cost, and score by exit. The same results give the same SVG bytes.

Figures are drawn on `Figure` objects under a style of their own: no pyplot state, and nothing of the user's
own matplotlib settings reaches a committed file. Text stays text in the SVG.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FixedLocator, MaxNLocator, NullLocator

from eebench.report.markdown import plain
from eebench.report.selection import FULL_MODEL, Shown
from eebench.stats import pareto_front

STYLE: Mapping[Any, Any] = {
    "svg.hashsalt": "eebench",
    "svg.fonttype": "none",
    # Names come from data: a dollar sign is a dollar sign.
    "text.parse_math": False,
    "font.size": 10.0,
    "axes.labelsize": 10.5,
    "axes.titlesize": 11.5,
    "axes.titleweight": "bold",
    "legend.fontsize": 9.0,
    "axes.edgecolor": "#444444",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.8,
    "lines.linewidth": 1.6,
    "lines.markersize": 6.0,
}

# Six colours of Okabe and Ito (2008), told apart under every common colour blindness, and a dark wine; their
# yellow is left out because it vanishes on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#882255")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h", "d")
DASHES: tuple[Any, ...] = ("-", (0, (4, 1, 1, 1)), (0, (1, 0.8)))
INK = "#333333"
LONG_DASHES = (0, (6, 3))

MOST_BANDS = 6
"""More bands than this on top of each other are mud."""

SPEEDUP_TICKS = (1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0)
LABEL_LENGTH = 34


@dataclass(frozen=True)
class Look:
    """How a method is drawn, the same in every figure of a suite."""

    colour: str
    marker: str
    dashes: Any


@dataclass(frozen=True)
class Line:
    """What `draw_line` draws: the column of x, the entry in the legend, the look, whether seeds show."""

    x: str
    label: str
    look: Look
    banded: bool


@dataclass(frozen=True)
class Caption:
    """The words of a figure, from data: what is on its axes and above them."""

    title: str
    metric: str
    convention: str = ""


def looks(methods: Mapping[str, Shown]) -> dict[str, Look]:
    """A look for each method: colours are for curves, the single points of static methods are in ink.

    7 colours and 12 markers make 84 pairs before one returns.
    """
    curves = [name for name, method in methods.items() if not method.static]
    singles = [name for name, method in methods.items() if method.static]
    return {name: curve_look(index) for index, name in enumerate(curves)} | {
        name: Look(INK, MARKERS[index % len(MARKERS)], "none") for index, name in enumerate(singles)
    }


def curve_look(index: int) -> Look:
    """The look of a figure's curve by its place."""
    return Look(
        COLOURS[index % len(COLOURS)],
        MARKERS[index % len(MARKERS)],
        DASHES[index // len(COLOURS) % len(DASHES)],
    )


@dataclass(frozen=True)
class Guides:
    """Lines to read a front by: a score (in 0..1) and FLOPs per sample, each with its words; None for no line."""

    score: float | None = None
    score_label: str = ""
    cost: float | None = None
    cost_label: str = ""


def front_svg(
    points: pd.DataFrame, methods: Mapping[str, Shown], caption: Caption, guides: Guides | None = None
) -> bytes:
    """Score against FLOPs per sample: a line per dynamic method, a marker per static one, the front dashed.

    `points` are of one task, backbone, split, metric and convention, with each method under its default rule.
    """
    known = points[points["flops_per_sample"].notna() & points["score_mean"].notna()]
    # Columns that know a missing value do not convert by themselves.
    known = known.assign(cost=known["flops_per_sample"].astype("float64"))
    unit, name = _unit(float(known["cost"].max()))
    known = known.assign(cost=known["cost"] / unit, score=100 * known["score_mean"])
    with style():
        figure, axes = canvas(known["method"].nunique())
        appearance = looks(methods)
        curves = [
            (methods[str(name)], curve.sort_values("cost"))
            for name, curve in known.groupby("method", sort=False)
        ]
        banded = sum(not method.static for method, _ in curves) <= MOST_BANDS
        for method, curve in curves:
            if method.static:
                _draw_single(axes, curve, method, appearance[method.name])
            else:
                line = Line("cost", f"{method.title}, {method.rule}", appearance[method.name], banded)
                draw_line(axes, curve, line)
        _draw_front(axes, known)
        _draw_guides(axes, guides or Guides(), unit)
        axes.set_xlabel(f"FLOPs per sample ({name}, {plain(caption.convention)})")
        label_scores(axes, caption)
        _add_speedup_axis(axes, known)
        return finish(figure, axes)


def layers_svg(
    exits: pd.DataFrame,
    methods: Mapping[str, Shown],
    caption: Caption,
    level: str = FULL_MODEL,
    shares: Sequence[float] = (),
) -> bytes:
    """Score by exit: a line per multi-exit method, the last exit of `level` as one (layout of GAML-BERT, Fig. 4).

    Each of `shares` is one more line, at that share of the level (COST-EFF, Fig. 8).
    `exits` are of one task, backbone, split and metric; empty bytes when no method has more than one exit.
    """
    exits = exits.assign(score=100 * exits["score_mean"])
    curves = {str(name): curve.sort_values("exit") for name, curve in exits.groupby("method", sort=False)}
    multiple = [name for name in methods if name != level and len(curves.get(name, ())) > 1]
    if not multiple:
        return b""
    with style():
        figure, axes = canvas(len(multiple))
        appearance = looks(methods)
        for name in multiple:
            banded = len(multiple) <= MOST_BANDS
            draw_line(axes, curves[name], Line("exit", methods[name].title, appearance[name], banded))
        if level in curves and level in methods:
            height, label = float(curves[level]["score"].iloc[-1]), methods[level].title
            label = f"{label} (full)" if level == FULL_MODEL else label
            axes.axhline(height, color=INK, linestyle=LONG_DASHES, linewidth=1.3, label=short_label(label))
            for share in shares:
                words = short_label(f"{100 * share:g}% of {label}")
                axes.axhline(share * height, color=INK, linestyle=":", linewidth=1.0, label=words)
        axes.set_xlabel("exit (after layer)")
        axes.xaxis.set_major_locator(MaxNLocator(nbins=13, integer=True))
        label_scores(axes, caption)
        return finish(figure, axes)


@contextmanager
def style() -> Iterator[None]:
    """The library's defaults and `STYLE`; the user's settings come back afterwards."""
    with mpl.rc_context():
        mpl.rcdefaults()
        for key, value in STYLE.items():
            mpl.rcParams[key] = value
        yield


def canvas(entries: int) -> tuple[Figure, Axes]:
    """A figure with room for a legend of so many lines at its right."""
    figure = Figure(figsize=(8.6, max(4.6, 1.2 + 0.21 * entries)), layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.add_subplot()
    axes.spines["right"].set_visible(False)
    return figure, axes


def draw_line(axes: Axes, curve: pd.DataFrame, line: Line) -> None:
    """One dynamic method, with its spread over seeds as a band; rows of `curve` are in the order of x."""
    x, score, spread = numbers(curve, line.x), numbers(curve, "score"), 100 * numbers(curve, "score_std")
    colour = line.look.colour
    if line.banded and np.isfinite(spread).any():
        axes.fill_between(x, score - spread, score + spread, color=colour, alpha=0.13, linewidth=0)
    axes.plot(
        x,
        score,
        color=colour,
        marker=line.look.marker,
        linestyle=line.look.dashes,
        markeredgecolor="white",
        markeredgewidth=0.5,
        label=short_label(line.label),
        zorder=3,
    )


def _draw_single(axes: Axes, point: pd.DataFrame, method: Shown, look: Look) -> None:
    """One static method: a hollow marker, with its spread over seeds as a bar."""
    cost, score, spread = (
        numbers(point, "cost"),
        numbers(point, "score"),
        100 * numbers(point, "score_std"),
    )
    if np.isfinite(spread).any():
        axes.errorbar(cost, score, yerr=spread, fmt="none", ecolor=look.colour, elinewidth=1.1, capsize=2.5)
    axes.plot(
        cost,
        score,
        color=look.colour,
        marker=look.marker,
        linestyle="none",
        markersize=8.5,
        markerfacecolor="white",
        markeredgewidth=1.6,
        label=short_label(method.title),
        zorder=4,
    )


def _draw_front(axes: Axes, points: pd.DataFrame) -> None:
    """The best score at each cost or less, over everything in the figure."""
    cost, score = numbers(points, "cost"), numbers(points, "score")
    mask = pareto_front(cost, score)
    order = np.argsort(cost[mask])
    axes.plot(
        cost[mask][order],
        score[mask][order],
        color=INK,
        linestyle=LONG_DASHES,
        linewidth=1.1,
        drawstyle="steps-post",
        label="Pareto front",
        zorder=2,
    )


def _draw_guides(axes: Axes, guides: Guides, unit: float) -> None:
    """The lines that there are, FLOPs in the unit of the axis."""
    if guides.score is not None:
        label = short_label(guides.score_label)
        axes.axhline(100 * guides.score, color=INK, linestyle=":", linewidth=1.0, label=label)
    if guides.cost is not None:
        label = short_label(guides.cost_label)
        axes.axvline(guides.cost / unit, color=INK, linestyle="-.", linewidth=1.0, label=label)


def _add_speedup_axis(axes: Axes, points: pd.DataFrame) -> None:
    """The same x axis read as a speed-up, above the plot; ticks that would touch are left out."""
    known = points[points["speedup_flops"].notna()]
    if known.empty:
        return
    full = float((known["cost"] * known["speedup_flops"]).median())
    left, right = axes.get_xlim()
    places: dict[float, str] = {}
    for speedup in SPEEDUP_TICKS:
        place = full / speedup
        clear = all(abs(place - other) > 0.07 * (right - left) for other in places)
        if left <= place <= right and clear:
            places[place] = f"{speedup:g}x"
    above = axes.secondary_xaxis("top")
    above.xaxis.set_major_locator(FixedLocator(list(places)))
    above.xaxis.set_major_formatter(FixedFormatter(list(places.values())))
    above.xaxis.set_minor_locator(NullLocator())
    above.set_xlabel("speed-up in FLOPs")


def label_scores(axes: Axes, caption: Caption) -> None:
    """Title and y axis."""
    axes.set_title(short_label(caption.title, 80), loc="left")
    axes.set_ylabel(short_label(f"{caption.metric} (%)"))
    axes.ticklabel_format(axis="y", useOffset=False, style="plain")


def finish(figure: Figure, *panels: Axes) -> bytes:
    """Legend at the right, then the SVG; no date or version, which would change bytes and say nothing."""
    found = [panel.get_legend_handles_labels() for panel in panels]
    handles = [handle for part, _ in found for handle in part]
    labels = [label for _, part in found for label in part]
    figure.legend(handles, labels, loc="outside right upper", frameon=False, handlelength=2.6)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return _tidy(buffer.getvalue())


def _tidy(svg: bytes) -> bytes:
    """Without blanks at the ends of lines, which commit hooks would remove and make a difference of."""
    return b"\n".join(line.rstrip() for line in svg.splitlines()) + b"\n"


def short_label(text: str, length: int = LABEL_LENGTH) -> str:
    """Text for a figure: one line, not too long; matplotlib hides labels that begin with an underscore."""
    line = plain(text)
    short = line if len(line) <= length else line[: length - 1] + "…"
    return f" {short}" if short.startswith("_") else short


def _unit(largest: float) -> tuple[float, str]:
    """The unit that keeps the ticks short."""
    return (1e9, "GFLOP") if largest >= 1e10 else (1e6, "MFLOP")


def numbers(table: pd.DataFrame, column: str) -> Any:
    """A column as a float array, missing values as NaN."""
    return table[column].to_numpy(dtype="float64", na_value=float("nan"))
