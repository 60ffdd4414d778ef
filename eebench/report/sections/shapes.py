"""How large the models are, beside the printed sizes (layout of COST-EFF, Table 2)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from eebench.reference.keys import BASE, COSTEFF_SHAPES, Key
from eebench.report.markdown import MISSING, escape, table
from eebench.report.sections.ground import Block, Ground
from eebench.report.sections.printed import Row, beside, note
from eebench.sections import ShapesSection

ITEM = "shape"
QUANTITIES = ("layers", "hidden_width", "heads", "head_width", "ffn_width", "early_exit")
"""What the table prints of each model, as the published tables name it."""

STUDENTS = {"tinybert4": "TinyBERT4", "tinybert6": "TinyBERT6", "distilbert": "DistilBERT6"}
"""Students of BERT-base that are of the size of a released checkpoint, whatever they start from."""

MEANING = (
    "Heads: attention heads times the width of one; FFN: inner neurons of the feed-forward part; a range where layers "
    "differ. Early exit: whether a layer before the last has an exit. Sizes are read from models as training leaves "
    "them; of a method that prunes by its weights they are what the layers keep on average."
)
HEADINGS = ("layers", "width", "heads", "FFN", "early exit")


def shapes(section: ShapesSection, ground: Ground) -> Iterator[Block]:
    """A row per method: its sizes, each beside the printed one where a paper has the model."""
    sizes = {label: rows for label in section.methods if len(rows := _layers(ground, label))}
    if not sizes:
        return
    theirs = {label: _printed(ground, label) for label in sizes}
    printed = any(theirs.values())
    body = []
    for label, rows in sizes.items():
        pairs = zip(_ours(rows), _theirs(theirs[label]), strict=True)
        cells = [cell for ours, other in pairs for cell in ([ours, other] if printed else [ours])]
        body.append([escape(ground.title(label)), *cells])
    headers = [word for heading in HEADINGS for word in ([heading, "printed"] if printed else [heading])]
    yield table(["method", *headers], body)
    yield MEANING
    yield from note(row for found in theirs.values() for row in found.values())


def _layers(ground: Ground, label: str) -> pd.DataFrame:
    """The layers of a label, shallow first."""
    return ground.layers[ground.layers["base"] == label].sort_values("layer")


def _printed(ground: Ground, label: str) -> Mapping[str, Row]:
    """The printed rows of a label's model by quantity; empty where the paper does not have it."""
    name, backbone = ground.origin(label)
    backbone = STUDENTS.get(name, backbone) if backbone == BASE else backbone
    rows = {
        quantity: beside(Key(COSTEFF_SHAPES, name, backbone, "", ITEM, quantity=quantity), own_only=True)
        for quantity in QUANTITIES
    }
    return {quantity: row for quantity, row in rows.items() if row is not None}


def _ours(rows: pd.DataFrame) -> list[str]:
    """Layers, width, heads, feed-forward size and early exits of one model."""
    has_exit = rows["exit_flops"].notna()
    return [
        str(len(rows)), between(rows["width"]), _product(between(rows["heads"]), between(rows["head_width"])),
        between(rows["ffn_width"]), _yes(bool(has_exit.iloc[:-1].any())),
    ]  # fmt: skip


def _theirs(rows: Mapping[str, Row]) -> list[str]:
    """The same as printed."""
    if not rows:
        return [MISSING] * len(HEADINGS)
    layers, width, heads, head_width, ffn, early = (f"{float(rows[name]['score']):g}" for name in QUANTITIES)
    return [layers, width, _product(heads, head_width), ffn, _yes(early != "0")]


def between(values: pd.Series[Any]) -> str:
    """One number, or the smallest and the largest: `1536`, `384-1536`; a dash where one is not known."""
    if values.isna().any():
        return MISSING
    low, high = int(values.min()), int(values.max())
    return str(low) if low == high else f"{low}-{high}"


def _product(heads: str, width: str) -> str:
    return MISSING if MISSING in (heads, width) else f"{heads} x {width}"


def _yes(answer: bool) -> str:
    return "yes" if answer else "no"
