"""The trace: what exit rules need to know about a trained model, from one pass over a split.

One trace per run and split. It holds logits of all exits, never hidden states, so it stays small (QQP dev
with twelve exits: 3.9 MB) and every rule and setting can be replayed from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from eebench.artifacts import read_tensors, write_tensors
from eebench.backbones.tokens import Encoded
from eebench.model import MultiExitModel
from eebench.rules.base import Geometry, Signals

TRACE_VERSION = 3
PER_SAMPLE = ("logits", "scores", "similarities", "executed", "gates")
"""What a trace keeps of a model's outputs, exits first and samples second."""
STORED = (*PER_SAMPLE, "others")
TOKENS_PER_BATCH = {"cpu": 1024, "cuda": 16384}
"""Padded tokens per batch: a CPU is fastest while a layer's activations stay in its cache."""


@dataclass(frozen=True)
class Trace:
    """Signals of one run on one split.

    Shapes: `logits` fp32 [E, N, C]; `labels` int64 [N] (fp32 for regression); `lengths` int64 [N], real
    tokens per sample; `ids` int64 [N], row numbers in the split. fp32 [E, N]: `scores`, learned certainties,
    `similarities` of each exit's hidden states with the previous exit's (CKA), `gates`, probabilities of skipping the
    layer; `executed` bool [E, N], which layers ran; None for models without. `others` int64 [R, N]: tokens per sample
    as further backbones of the model read it, in the order of `Batch.others`. `exit_layers` are the layers after
    which the E exits sit, `gate_threshold` the probability from which layers were skipped.
    """

    exit_layers: tuple[int, ...]
    logits: Tensor
    labels: Tensor
    lengths: Tensor
    ids: Tensor
    scores: Tensor | None = None
    similarities: Tensor | None = None
    executed: Tensor | None = None
    gates: Tensor | None = None
    gate_threshold: float | None = None
    others: Tensor | None = None

    @property
    def sequences(self) -> Tensor:
        """Tokens per sample in every sequence that the model reads, int64 [R + 1, N]; its own backbone's first."""
        own = self.lengths[None]
        return own if self.others is None else torch.cat([own, self.others])

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds of signal that rules can have from it."""
        there = {"logits": self.logits, "score": self.scores, "similarity": self.similarities}
        return frozenset(kind for kind, tensor in there.items() if tensor is not None)

    @property
    def samples(self) -> int:
        return self.logits.shape[1]

    @property
    def geometry(self) -> Geometry:
        return Geometry(self.exit_layers, self.logits.shape[2])

    def signals(self, exit_index: int, rows: slice) -> Signals:
        """What a rule sees of `rows` at exit position `exit_index` (0-based)."""
        score, similarity, executed = (
            None if tensor is None else tensor[exit_index, rows]
            for tensor in (self.scores, self.similarities, self.executed)
        )
        return Signals(self.logits[exit_index, rows], score, similarity, executed)

    def cut(self, rows: Tensor) -> Trace:
        """The trace of some samples alone; `rows` is bool [N] or places int64 [n]."""
        kept = {name: tensor[:, rows] for name in STORED if (tensor := getattr(self, name)) is not None}
        return replace(self, labels=self.labels[rows], lengths=self.lengths[rows], ids=self.ids[rows], **kept)

    @property
    def answered(self) -> Tensor:
        """Which samples each exit has an answer for, bool [E, N]: a layer ran until there, or it is the last exit."""
        answered = torch.ones(self.logits.shape[:2], dtype=torch.bool)
        if self.executed is not None:
            answered[:-1] = self.executed.cumsum(dim=0)[:-1] > 0
        return answered

    def answers(self) -> Tensor:
        """Each exit's answer: class int64 [E, N], or the score fp32 [E, N] for regression."""
        return self.logits.argmax(dim=-1) if self.logits.shape[2] > 1 else self.logits[..., 0]


def trace_model(model: MultiExitModel, encoded: Encoded, labels: np.ndarray, device: torch.device) -> Trace:
    """Runs `model` once over a tokenised split and keeps every exit's logits.

    fp32 with TF32 off, so that a trace made on any device decides alike; batched by length, filled in place.
    """
    model.eval()
    samples, kept = len(encoded), dict[str, Tensor]()
    with torch.inference_mode(), full_precision():
        for rows in length_batches(encoded.lengths, TOKENS_PER_BATCH[device.type]):
            batch = encoded.batch(rows).to(device)
            places, outputs = torch.from_numpy(rows).to(device), model(batch, model.kinds)
            for name in PER_SAMPLE:
                seen: Tensor | None = getattr(outputs, name)
                if seen is None:
                    continue
                if name not in kept:
                    kept[name] = seen.new_empty((seen.shape[0], samples, *seen.shape[2:]))
                kept[name][:, places] = seen
    return Trace(
        exit_layers=model.exit_layers,
        labels=torch.from_numpy(labels),
        lengths=torch.from_numpy(encoded.lengths),
        ids=torch.arange(samples),
        gate_threshold=model.gate_threshold,
        others=lengths_of(encoded.others),
        **{name: tensor.cpu().clone() for name, tensor in kept.items()},
    )


def lengths_of(others: Sequence[Encoded]) -> Tensor | None:
    """Tokens per row in each tokenisation, int64 [R, N]; None for none."""
    return torch.from_numpy(np.stack([other.lengths for other in others])) if others else None


def length_batches(lengths: np.ndarray, tokens: int) -> list[np.ndarray]:
    """Row numbers in batches of similar length, at most `tokens` padded tokens each, longest first."""
    order = np.argsort(-lengths, kind="stable")
    batches, start = [], 0
    while start < len(order):
        size = max(1, tokens // int(lengths[order[start]]))
        batches.append(order[start : start + size])
        start += size
    return batches


class full_precision:  # noqa: N801
    """Within it matrix products on CUDA are exact fp32, not TF32."""

    def __enter__(self) -> None:
        self._before = torch.get_float32_matmul_precision()
        if self._before != "highest":
            torch.set_float32_matmul_precision("highest")

    def __exit__(self, *_: object) -> None:
        if self._before != "highest":
            torch.set_float32_matmul_precision(self._before)


def save_trace(path: Path, trace: Trace, header: dict[str, Any] | None = None) -> None:
    """Writes a trace, whole or not at all."""
    tensors = {"labels": trace.labels, "lengths": trace.lengths, "ids": trace.ids}
    tensors |= {name: tensor for name in STORED if (tensor := getattr(trace, name)) is not None}
    about = {
        "exit_layers": trace.exit_layers,
        "gate_threshold": trace.gate_threshold,
        "version": TRACE_VERSION,
    }
    write_tensors(path, tensors, {**(header or {}), **about})


def load_trace(path: Path) -> Trace:
    """Reads a trace; DamagedError when the file is not whole."""
    tensors, header = read_tensors(path)
    return Trace(exit_layers=tuple(header["exit_layers"]), gate_threshold=header["gate_threshold"], **tensors)
