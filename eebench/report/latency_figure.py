"""Score against measured time beside score against FLOPs, both as shares of the full model's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from eebench.latency.table import FULL, WHOLE, LatencyRow
from eebench.report.figures import INK, LONG_DASHES, Caption, Look, curve_look, finish, short_label, style
from eebench.report.markdown import plain

PANELS = (("FLOPs per sample", "speedup_flops"), ("time per sample", "speedup_time"))


def latency_svg(rows: Sequence[LatencyRow], titles: Mapping[str, str], caption: Caption) -> bytes:
    """Two panels with one y axis: the same points, a method's settings joined, at their FLOPs and at their time.

    `rows` are of one task, backbone, device, batch size and executor, the full model's among them; `titles` name
    methods. A point that moves to the right from the left panel to the right one saves less time than FLOPs.
    """
    labels = list(dict.fromkeys(row.method for row in rows if row.executor not in WHOLE))
    with style():
        figure = Figure(figsize=(10.4, max(4.6, 1.2 + 0.21 * len(labels))), layout="constrained")
        FigureCanvasSVG(figure)
        left, right = figure.subplots(1, 2, sharex=True, sharey=True)
        for axes, (name, column) in zip((left, right), PANELS, strict=True):
            axes.spines["right"].set_visible(False)
            for index, label in enumerate(labels):
                own = [row for row in rows if row.method == label and row.executor not in WHOLE]
                _draw(axes, own, column, titles.get(label, label), curve_look(index))
            _draw_full(axes, rows, titles)
            axes.set_xlabel(f"{name} (share of the full model)")
        left.set_title(short_label(caption.title, 80), loc="left")
        left.set_ylabel(short_label(f"{plain(caption.metric)} (%)"))
        left.ticklabel_format(axis="y", useOffset=False, style="plain")
        left.set_xlim(left=0.0)
        return finish(figure, left)


def _draw(axes: Axes, rows: Sequence[LatencyRow], column: str, title: str, look: Look) -> None:
    """One method: its settings from the cheapest on."""
    points = sorted((1.0 / getattr(row, column), 100 * row.score) for row in rows)
    axes.plot(
        [x for x, _ in points], [y for _, y in points], color=look.colour, marker=look.marker,
        linestyle=look.dashes, markeredgecolor="white", markeredgewidth=0.5, label=short_label(title), zorder=3,
    )  # fmt: skip


def _draw_full(axes: Axes, rows: Sequence[LatencyRow], titles: Mapping[str, str]) -> None:
    """The full model: its score as a level, its cost as the line that nothing should cross."""
    for row in (row for row in rows if row.executor == FULL):
        label = short_label(f"{titles.get(row.method, row.method)} (full)")
        axes.axhline(100 * row.score, color=INK, linestyle=LONG_DASHES, linewidth=1.3, label=label)
        axes.axvline(1.0, color=INK, linewidth=0.8)
