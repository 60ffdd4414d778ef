"""FLOPs of one layer, one exit and one gate, beside the printed ones (layout of SmartBERT, Table 2)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from eebench.reference.keys import SMARTBERT_OPERATIONS, Key
from eebench.report.markdown import escape, mega, table
from eebench.report.sections.ground import Block, Ground
from eebench.report.sections.printed import Row, beside, column, note
from eebench.sections import OperationsSection

PARTS = {
    "transformer layer": "layer_flops",
    "classifier": "exit_flops",
    "skipping gate": "gate_flops",
}
"""The operations in the words of the printed table, and where ours stand in `layers.csv`."""

PRINTED_METHOD, PRINTED_CONVENTION = "smartbert", "linear_2mac@128"


def operations(section: OperationsSection, ground: Ground) -> Iterator[Block]:
    """A row per method and operation that it has, the printed number beside those of the paper's own method."""
    rows = [
        (label, part, found)
        for label in section.methods
        for part, name in PARTS.items()
        if len(found := _known(ground, label, name))
    ]
    if not rows:
        return
    theirs = [_printed(ground, label, part) for label, part, _ in rows]
    header, more = column("MFLOPs", theirs, key="flops")
    body = [
        [escape(ground.title(label)), part, _range(found), *printed]
        for (label, part, found), printed in zip(rows, more, strict=True)
    ]
    yield table(["method", "operation", "MFLOPs", *header], body, "ll")
    yield _meaning(ground.layers, any(row is not None for row in theirs))
    yield from note(theirs)


def _known(ground: Ground, label: str, name: str) -> pd.Series[Any]:
    """FLOPs of one operation in each layer that has it."""
    return ground.layers[ground.layers["base"] == label][name].dropna()


def _range(flops: pd.Series[Any]) -> str:
    """Millions, two numbers where layers differ."""
    low, high = mega(int(flops.min()), 3), mega(int(flops.max()), 3)
    return low if low == high else f"{low} to {high}"


def _printed(ground: Ground, label: str, part: str) -> Row | None:
    """The printed number of an operation of the paper's own method; its rows name no method and no task.

    What a layer costs is the checkpoint's, so that BERT-base's numbers stand beside BERT-base alone.
    """
    if ground.method(label) != PRINTED_METHOD:
        return None
    return beside(Key(SMARTBERT_OPERATIONS, "", ground.backbone, "", part, quantity=""), own_only=True)


def _meaning(layers: pd.DataFrame, printed: bool) -> str:
    """What the numbers count."""
    convention = str(layers["convention"].iloc[0])
    text = f"Per sample, {escape(convention)}, for the classes of the suite's first task."
    if printed and convention != PRINTED_CONVENTION:
        text += f" The printed numbers are {PRINTED_CONVENTION}: they do not compare with these."
    return text
