"""Text to token ids: each backbone's own tokenizer, one pass over a split, ready to be batched."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import repeat
from typing import Protocol

import numpy as np
import torch

from eebench.backbones.base import Batch
from eebench.backbones.checkpoints import find_checkpoint
from eebench.backbones.toy import TOY_VOCABULARY

Texts = Sequence[tuple[str, ...]]


@dataclass(frozen=True)
class Encoded:
    """A tokenised split, ragged rows laid end to end.

    Shapes: `ids`, `segments` int32 [sum of lengths]; `offsets` int64 [N + 1], row i is ids[offsets[i]:offsets[i+1]].
    `others` are the same rows in the tokens of other backbones, for models that read several.
    """

    ids: np.ndarray
    segments: np.ndarray
    offsets: np.ndarray
    pad_id: int
    others: tuple[Encoded, ...] = ()

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> np.ndarray:
        """Real tokens per row, int64 [N]."""
        return np.diff(self.offsets)

    @property
    def counts(self) -> np.ndarray:
        """Real tokens per row as each backbone reads it, int64 [N, R]: its own first."""
        return np.stack([self.lengths, *(other.lengths for other in self.others)], axis=1)

    def batch(self, rows: np.ndarray, length: int | None = None) -> Batch:
        """Rows as one batch, padded to their longest (or to `length`)."""
        lengths = self.lengths[rows]
        width = int(lengths.max()) if length is None else length
        inside = np.arange(width) < lengths[:, None]
        source = (self.offsets[rows][:, None] + np.arange(width))[inside]
        ids = np.full(inside.shape, self.pad_id, dtype=np.int64)
        segments = np.zeros(inside.shape, dtype=np.int64)
        ids[inside], segments[inside] = self.ids[source], self.segments[source]
        mask = torch.from_numpy(inside)
        others = tuple(other.batch(rows) for other in self.others)
        return Batch(torch.from_numpy(ids), mask, torch.from_numpy(segments), not bool(inside.all()), others)

    def singles(self) -> Iterator[Batch]:
        """Every row as a batch of its own, in order: views of tensors made once, so it takes next to no time."""
        lengths = self.lengths.tolist()
        whole = self.ids.astype(np.int64), np.ones(len(self.ids), bool), self.segments.astype(np.int64)
        views = (torch.split_with_sizes(torch.from_numpy(tokens)[None], lengths, dim=1) for tokens in whole)
        several = zip(*(other.singles() for other in self.others), strict=True) if self.others else repeat(())
        for ids, mask, segments, others in zip(*views, several, strict=False):
            yield Batch(ids, mask, segments, padded=False, others=others)

    def part(self, start: int, stop: int) -> Encoded:
        """Rows `start` to `stop`, sharing memory."""
        offsets = self.offsets[start : stop + 1]
        inside = slice(int(offsets[0]), int(offsets[-1]))
        others = tuple(other.part(start, stop) for other in self.others)
        return replace(
            self,
            ids=self.ids[inside],
            segments=self.segments[inside],
            offsets=offsets - offsets[0],
            others=others,
        )

    def take(self, rows: np.ndarray) -> Encoded:
        """Some rows, int64 [R], in the order asked for."""
        pieces = [slice(self.offsets[row], self.offsets[row + 1]) for row in rows]
        ids, segments = (
            np.concatenate([tokens[piece] for piece in pieces]) for tokens in (self.ids, self.segments)
        )
        offsets = np.concatenate([[0], np.cumsum(self.lengths[rows])])
        return Encoded(ids, segments, offsets, self.pad_id, tuple(other.take(rows) for other in self.others))

    @classmethod
    def joined(cls, pieces: Sequence[Encoded]) -> Encoded:
        """The rows of several pieces as one, in order."""
        if len(pieces) == 1:
            return pieces[0]
        ids, segments, lengths = (
            np.concatenate([getattr(piece, name) for piece in pieces])
            for name in ("ids", "segments", "lengths")
        )
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        others = tuple(cls.joined(parts) for parts in zip(*(piece.others for piece in pieces), strict=True))
        return cls(ids, segments, offsets, pieces[0].pad_id, others)


class Tokenizer(Protocol):
    """Turns texts (single sentences or pairs) into token ids."""

    def encode(self, texts: Texts, max_length: int) -> Encoded:
        """Token ids of every text, truncated to `max_length` tokens (longest of a pair first)."""
        ...


def pack(ids: list[list[int]], segments: list[list[int]], pad_id: int) -> Encoded:
    """Ragged lists as one `Encoded`."""
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in ids], dtype=np.int64)])
    flat = np.fromiter((token for row in ids for token in row), dtype=np.int32, count=int(offsets[-1]))
    kinds = np.fromiter((kind for row in segments for kind in row), dtype=np.int32, count=int(offsets[-1]))
    return Encoded(flat, kinds, offsets, pad_id)


class StockTokenizer:
    """The checkpoint's own fast tokenizer. Segments are zeros where it has none."""

    def __init__(self, name: str) -> None:
        from transformers import AutoTokenizer

        checkpoint = find_checkpoint(name)
        self._tokenizer = AutoTokenizer.from_pretrained(
            checkpoint.directory, trust_remote_code=False, tokenizer_type=checkpoint.architecture.tokenizer
        )

    def encode(self, texts: Texts, max_length: int) -> Encoded:
        columns = [list(column) for column in zip(*texts, strict=True)]
        encoded = self._tokenizer(
            *columns, truncation=True, max_length=max_length, padding=False, return_token_type_ids=True
        )
        ids = encoded["input_ids"]
        # Asked for by name: ALBERT has segments although its tokenizer does not list them among its outputs.
        segments = (
            encoded["token_type_ids"] if "token_type_ids" in encoded else [[0] * len(row) for row in ids]
        )
        return pack(ids, segments, self._tokenizer.pad_token_id)


class ToyTokenizer:
    """Whitespace words hashed into the toy vocabulary; ids 0..2 are padding, start and separator."""

    def encode(self, texts: Texts, max_length: int) -> Encoded:
        ids, segments = [], []
        for text in texts:
            row, kinds = [1], [0]
            for segment, part in enumerate(text):
                words = [3 + zlib.crc32(word.encode()) % (TOY_VOCABULARY - 3) for word in part.split()]
                row += [*words, 2]
                kinds += [segment] * (len(words) + 1)
            ids.append(row[:max_length])
            segments.append(kinds[:max_length])
        return pack(ids, segments, 0)


class SeveralTokenizers:
    """The tokens of one backbone, with those of the others beside them."""

    def __init__(self, own: Tokenizer, others: Sequence[Tokenizer]) -> None:
        self._own, self._others = own, others

    def encode(self, texts: Texts, max_length: int) -> Encoded:
        beside = tuple(other.encode(texts, max_length) for other in self._others)
        return replace(self._own.encode(texts, max_length), others=beside)


def load_tokenizer(name: str, others: Sequence[str] = ()) -> Tokenizer:
    """The tokenizer of backbone `name`; with `others`, those backbones' tokens lie beside its own."""
    own = ToyTokenizer() if name == "toy" else StockTokenizer(name)
    return SeveralTokenizers(own, [load_tokenizer(other) for other in others]) if others else own
