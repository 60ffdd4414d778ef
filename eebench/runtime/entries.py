"""Tokenised rows as batches: of similar length, moved to the device, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from eebench.backbones.base import Batch
from eebench.backbones.tokens import Encoded

BATCHES_PER_WINDOW = 64
"""Rows are sorted by length within so many batches: enough to hardly pad, few enough to keep answers coming."""

Stream = Encoded | Iterable[Encoded]
"""Tokenised rows, at once or in pieces of any size (a file that is read while it is answered)."""


@dataclass(frozen=True)
class Entry:
    """One batch of the stream: `places` int64 [B], its rows counted from the stream's first; real `lengths` [B]."""

    places: NDArray[np.int64]
    lengths: NDArray[np.int64]
    batch: Batch


def entries(stream: Stream, size: int, device: torch.device) -> Iterator[Entry]:
    """The stream in batches of `size` rows on `device`; a size of one keeps the order and waits for no other row.

    Every second window is sorted the other way round, so that neighbouring batches are alike everywhere.
    """
    if size == 1:
        yield from singles(stream, device)
        return
    first = 0
    for number, window in enumerate(windows(stream, size * BATCHES_PER_WINDOW)):
        lengths = window.lengths
        order = np.argsort(-lengths if number % 2 == 0 else lengths, kind="stable")
        for start in range(0, len(order), size):
            rows = order[start : start + size]
            yield Entry(first + rows, lengths[rows], moved(window.batch(rows), device))
        first += len(window)


def singles(stream: Stream, device: torch.device) -> Iterator[Entry]:
    """Every row on its own, in order."""
    first = 0
    for piece in pieces_of(stream):
        places, lengths = np.arange(first, first + len(piece))[:, None], piece.lengths[:, None]
        for place, length, batch in zip(places, lengths, piece.singles(), strict=True):
            yield Entry(place, length, moved(batch, device))
        first += len(piece)


def pieces_of(stream: Stream) -> Iterable[Encoded]:
    """The stream in the pieces it comes in."""
    return [stream] if isinstance(stream, Encoded) else stream


def windows(stream: Stream, rows: int) -> Iterator[Encoded]:
    """The stream in pieces of `rows` rows, the last one of fewer."""
    held: list[Encoded] = []
    missing = rows
    for piece in pieces_of(stream):
        start = 0
        while start < len(piece):
            taken = min(missing, len(piece) - start)
            held.append(piece.part(start, start + taken))
            start, missing = start + taken, missing - taken
            if not missing:
                yield Encoded.joined(held)
                held, missing = [], rows
    if held:
        yield Encoded.joined(held)


def moved(batch: Batch, device: torch.device) -> Batch:
    """The batch on `device`, from pinned memory, so that the copy does not stop the host."""
    if device.type != "cuda":
        return batch.to(device)
    pinned = {name: getattr(batch, name).pin_memory() for name in ("input_ids", "mask", "segments")}
    return replace(batch, **pinned, others=tuple(moved(other, device) for other in batch.others)).to(device)
