"""Model sizes by name: a cost needs shapes, not weights, so known names need neither files nor a network."""

from __future__ import annotations

import re
from dataclasses import dataclass

BERT_VOCABULARY = 30522


@dataclass(frozen=True)
class Shape:
    """Size of a plain BERT encoder: `feed_forward` is the FFN width; heads split the width evenly."""

    layers: int
    width: int
    heads: int
    feed_forward: int
    vocabulary: int = BERT_VOCABULARY


# The rows of COST-EFF Table 2 that are plain BERT shapes, BERT-large, and the bundled MiniLM.
SHAPES: dict[str, Shape] = {
    "bert-base-uncased": Shape(12, 768, 12, 3072),
    "bert-large-uncased": Shape(24, 1024, 16, 4096),
    "bert-6l-768h": Shape(6, 768, 12, 3072),
    "bert-8l-256h": Shape(8, 256, 4, 1024),
    "bert-12l-256h": Shape(12, 256, 4, 1024),
    "bert-12l-512h": Shape(12, 512, 8, 2048),
    "distilbert-6l": Shape(6, 768, 12, 3072),
    "elasticbert-6l": Shape(6, 768, 12, 3072),
    "minilm-l6": Shape(6, 384, 12, 1536),
    "tinybert-4l": Shape(4, 312, 12, 1200),
    "tinybert-6l": Shape(6, 768, 12, 3072),
}

# Compact BERTs: heads of 64, FFN four times the width. First k layers of BERT-base: bert-<k>l-768h.
HEAD_SIZE = 64
COMPACT = re.compile(r"bert-(?P<layers>\d+)l-(?P<width>\d+)h")
COMPACT_HUB = re.compile(r"google/bert_uncased_L-(?P<layers>\d+)_H-(?P<width>\d+)_A-(?P<heads>\d+)")


def known_shape(name: str) -> Shape | None:
    """The size that `name` stands for, or None when the name alone does not tell.

    >>> known_shape("bert-3l-768h")
    Shape(layers=3, width=768, heads=12, feed_forward=3072, vocabulary=30522)
    """
    if name in SHAPES:
        return SHAPES[name]
    match = COMPACT.fullmatch(name)
    if match is not None and int(match["width"]) % HEAD_SIZE == 0:
        width = int(match["width"])
        return _compact(int(match["layers"]), width, width // HEAD_SIZE)
    match = COMPACT_HUB.fullmatch(name)
    if match is not None:
        return _compact(int(match["layers"]), int(match["width"]), int(match["heads"]))
    return None


def _compact(layers: int, width: int, heads: int) -> Shape | None:
    if min(layers, width, heads) < 1 or width % heads:
        return None
    return Shape(layers, width, heads, 4 * width)
