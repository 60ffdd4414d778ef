"""How a quantity of every training step is distributed (layout of GAML-BERT, Fig. 3)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from eebench.histograms import EDGES, Bin, mean_share, percentile, share_below
from eebench.report.figures import Caption
from eebench.report.markdown import MISSING, escape, integer, table
from eebench.report.sections.drawing import shares_svg
from eebench.report.sections.ground import Block, Drawing, Ground, of
from eebench.sections import HistogramSection

AXES = {
    "angle": "angle between the gradients (degrees)",
    "c": "c, share of the gradient along the other",
    "delta": "change from layer to layer",
}
GUIDES = {"angle": 90.0, "c": 0.0, "delta": 0.0}
COUNTED = {"angle": "steps", "c": "steps", "delta": "changes"}
PERCENTILES = (0.05, 0.5, 0.95)

NOTE = (
    "Shares are in percent of the {counted} of all seeds. They are counted in bins: where a limit lies inside one, "
    "both ends of what it can be are given, and percentiles spread the {counted} of a bin evenly."
)
REVERSED = (
    "Reversed: the share of the groups of parameters, of all steps, that soft alignment takes against the labels' "
    "gradient (c < -(1 - alpha) / alpha in the group). The paper's one dot product is one group, so there it is a "
    "share of the steps. c itself is that of all parameters together."
)
UNWEIGHTED = (
    "These results are from before reversal was counted by group: their c of per-tensor and per-layer alignment is an "
    "unweighted mean over groups, ruled by the smallest tensors, and says nothing of reversal."
)
ABOUT_HALF = (
    "The paper finds about half of the steps of mutual learning alone at 90 degrees or more (Fig. 3, SST-2)."
)
ONE_GROUP = ("global", "without_embeddings")


def histogram(section: HistogramSection, ground: Ground) -> Iterator[Block]:
    """Per task a figure and what is in it as numbers."""
    shown = False
    for task in ground.tasks(section):
        for block in distribution(ground, task, section.methods, section.quantity):
            shown = True
            yield block
    if shown:
        note = NOTE.format(counted=COUNTED[section.quantity])
        old = any(_grouped(ground, label, task) and not _bins(ground, label, task, "flipped")
                  for label in section.methods for task in ground.tasks(section))  # fmt: skip
        yield f"{note} {REVERSED}" + (f" {UNWEIGHTED}" if old else "") if section.quantity == "c" else note
    if shown and section.quantity == "angle":
        yield from _about_half(section, ground)


def _about_half(section: HistogramSection, ground: Ground) -> Iterator[str]:
    """What the paper's observation comes to here, where mutual learning alone was watched."""
    seen = [
        f"{100 * (1 - share_below(bins, GUIDES['angle'])[1]):.0f} % with {escape(ground.title(label))} "
        f"on {escape(task)}"
        for task in ground.tasks(section)
        for label in section.methods
        if ground.option(label, task, "ga") == "none" and (bins := _bins(ground, label, task, "angle"))
    ]
    if seen:
        yield f"{ABOUT_HALF} Here it is {'; '.join(seen)}."


def _grouped(ground: Ground, label: str, task: str) -> bool:
    """Whether a method aligns its gradients in several groups."""
    return ground.option(label, task, "ga_scope") not in (*ONE_GROUP, None) and ground.option(
        label, task, "ga"
    ) not in ("none", None)


def distribution(ground: Ground, task: str, labels: Iterable[str], quantity: str) -> Iterator[Block]:
    """The figure and the table of one task; nothing when none of the labels has a count."""
    found = {label: bins for label in labels if (bins := _bins(ground, label, task, quantity))}
    if not found:
        return
    shares = {ground.title(label): [part.steps / _steps(bins) for part in bins]
              for label, bins in found.items()}  # fmt: skip
    caption = Caption(f"{task}, {ground.backbone}", f"share of the {COUNTED[quantity]} (%)")
    alt = f"Distribution of {quantity}: {task}, {ground.backbone}"
    svg = shares_svg(shares, EDGES[quantity], AXES[quantity], caption, GUIDES[quantity])
    yield Drawing(task, alt, svg)
    yield _table(ground, task, quantity, found)


def _bins(ground: Ground, label: str, task: str, quantity: str) -> list[Bin]:
    """The bins of one label on one task; none without a step."""
    rows = of(ground.histograms, label, task)
    rows = rows[rows["quantity"] == quantity].sort_values("low")
    bins = [
        Bin(float(low), float(high), int(count))
        for low, high, count in zip(rows["low"], rows["high"], rows["count"], strict=True)
    ]
    # A figure has one set of bins; a folder with others is of another version.
    same = (*(part.low for part in bins), *(part.high for part in bins[-1:])) == EDGES[quantity]
    return bins if same and _steps(bins) else []


def _steps(bins: list[Bin]) -> int:
    return sum(part.steps for part in bins)


def _table(ground: Ground, task: str, quantity: str, found: dict[str, list[Bin]]) -> str:
    """One row per method."""
    limits = {"angle": "90 degrees or more"}.get(quantity, "below 0")
    flips = ["reversed"] if quantity == "c" else []
    rows = []
    for label, bins in found.items():
        below = share_below(bins, GUIDES[quantity])
        share = _share((1 - below[1], 1 - below[0]) if quantity == "angle" else below)
        turned = [_reversed(ground, label, task, bins)] if flips else []
        numbers = [_value(percentile(bins, part), bins) for part in PERCENTILES]
        rows.append([escape(ground.title(label)), integer(_steps(bins)), share, *turned, *numbers])
    title = f"{escape(task)}: method"
    return table([title, COUNTED[quantity], limits, *flips, "5%", "median", "95%"], rows)


def _reversed(ground: Ground, label: str, task: str, bins: list[Bin]) -> str:
    """The share of groups that soft alignment reverses; of one group from c, of several from what was counted."""
    limit = _limit(ground, label, task)
    if limit is None:
        return MISSING
    if not _grouped(ground, label, task):
        return _share(share_below(bins, limit))
    counted = _bins(ground, label, task, "flipped")
    return f"{100 * mean_share(counted):.1f}" if counted else MISSING


def _limit(ground: Ground, label: str, task: str) -> float | None:
    """The c below which soft alignment reverses a step; None for methods that never do."""
    alpha = ground.option(label, task, "alpha")
    if ground.option(label, task, "ga") != "soft" or not isinstance(alpha, int | float) or alpha <= 0:
        return None
    return -(1 - alpha) / alpha


def _share(ends: tuple[float, float]) -> str:
    """A share in percent; both ends of it where the bins leave it open."""
    low, high = (f"{100 * end:.1f}" for end in ends)
    return low if low == high else f"{low} to {high}"


def _value(value: float, bins: list[Bin]) -> str:
    """A percentile; of one in an open bin only its side is known."""
    if math.isinf(value):
        return escape(f"< {bins[0].high:.2f}" if value < 0 else f"> {bins[-1].low:.2f}")
    return f"{value:.2f}"
