"""Exact operation counts as polynomials of the sequence length, and what a whole model costs.

A transformer's multiply-accumulates (MACs) grow at most with the square of the number of tokens n: linear
maps give the n term, attention scores and contexts the n^2 term. Three traced lengths therefore fix the count
of a component for every length. No torch here: a stored cost is read and summed without it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import lcm
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from eebench.errors import ModelError

Lengths = NDArray[np.int64]
Coefficient = int | Fraction


@dataclass(frozen=True)
class Polynomial:
    """`c0 + c1 n + c2 n^2` with exact coefficients; n is a number of tokens.

    >>> Polynomial(1, 0, 2)(10)
    201
    """

    c0: Coefficient = 0
    c1: Coefficient = 0
    c2: Coefficient = 0

    @property
    def coefficients(self) -> tuple[Coefficient, Coefficient, Coefficient]:
        """(c0, c1, c2), lowest power first."""
        return self.c0, self.c1, self.c2

    @overload
    def __call__(self, length: int) -> int: ...
    @overload
    def __call__(self, length: Lengths) -> Lengths: ...
    def __call__(self, length: int | Lengths) -> int | Lengths:
        """The count at `length`, exact: an int for an int, int64 of the same shape for an integer array.

        Raises ValueError where the value is not a whole number, TypeError for an array of floats.
        """
        if isinstance(length, np.ndarray):
            length = length.astype(np.int64, casting="safe")
        # One integer numerator over the common denominator keeps arrays exact where floats would round.
        denominator = lcm(*(Fraction(c).denominator for c in self.coefficients))
        c0, c1, c2 = (int(c * denominator) for c in self.coefficients)
        numerator = (c2 * length + c1) * length + c0
        if np.any(numerator % denominator):
            raise ValueError(f"{self} is no whole number at length {length}")
        return numerator // denominator

    def __add__(self, other: Polynomial) -> Polynomial:
        return Polynomial(self.c0 + other.c0, self.c1 + other.c1, self.c2 + other.c2)

    def __sub__(self, other: Polynomial) -> Polynomial:
        return self + other * -1

    def __mul__(self, times: int) -> Polynomial:
        return Polynomial(self.c0 * times, self.c1 * times, self.c2 * times)


def fit(lengths: Sequence[int], counts: Sequence[int]) -> Polynomial:
    """The quadratic through the first three (length, count) pairs, checked at all the others.

    Needs four or more different lengths (ValueError otherwise). Raises ModelError when a further pair is off
    the curve: the component then does something else than linear maps and attention with its tokens.
    """
    if len(set(lengths)) != len(lengths) or len(lengths) < 4 or len(lengths) != len(counts):
        raise ValueError(f"need four or more different lengths, each with its count; got {list(lengths)}")
    polynomial = _through_three(list(lengths[:3]), list(counts[:3]))
    for length, count in zip(lengths[3:], counts[3:], strict=True):
        if sum(c * length**power for power, c in enumerate(polynomial.coefficients)) != count:
            raise ModelError(
                f"the operation count is not quadratic in the sequence length: {count} at length {length} is "
                f"off the curve through lengths {list(lengths[:3])}; use a model with full attention."
            )
    return polynomial


def _through_three(lengths: list[int], counts: list[int]) -> Polynomial:
    """Newton's divided differences, exact in fractions."""
    (x0, x1, x2), (y0, y1, y2) = lengths, counts
    slope = Fraction(y1 - y0, x1 - x0)
    curvature = (Fraction(y2 - y1, x2 - x1) - slope) / (x2 - x0)
    c1 = slope - curvature * (x0 + x1)
    return Polynomial(*map(_simplest, (y0 - c1 * x0 - curvature * x0**2, c1, curvature)))


def _simplest(value: Fraction) -> Coefficient:
    return int(value) if value.denominator == 1 else value


POLYNOMIALS = ("linear", "matmul", "normalization", "elementwise")
"""The counts that grow with the number of tokens."""


@dataclass(frozen=True)
class Operations:
    """What one component does for one sample of n tokens.

    `linear`: MACs of linear maps (weights times activations). `matmul`: MACs of products of activations
    (attention scores and contexts, Gram matrices). `normalization`: what fvcore counts for LayerNorm, kept
    apart because no published convention but thop's includes it. `elementwise`: elements of out-of-place sums
    and products, that of attention scores and their mask included. `layers`: executed transformer layers.
    """

    linear: Polynomial = Polynomial()
    matmul: Polynomial = Polynomial()
    normalization: Polynomial = Polynomial()
    layers: int = 0
    elementwise: Polynomial = Polynomial()

    def __add__(self, other: Operations) -> Operations:
        return Operations(
            self.linear + other.linear,
            self.matmul + other.matmul,
            self.normalization + other.normalization,
            self.layers + other.layers,
            self.elementwise + other.elementwise,
        )

    def __mul__(self, times: int) -> Operations:
        return Operations(
            self.linear * times, self.matmul * times, self.normalization * times, self.layers * times,
            self.elementwise * times,
        )  # fmt: skip

    def as_dict(self) -> dict[str, Any]:
        """JSON form: coefficients lowest power first, whole ones as int, others as "p/q"."""
        polynomials = {name: getattr(self, name) for name in POLYNOMIALS}
        return {name: [_plain(c) for c in p.coefficients] for name, p in polynomials.items()} | {
            "layers": self.layers
        }

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Operations:
        """The inverse of `as_dict`."""
        polynomials = {
            name: Polynomial(*(_simplest(Fraction(c)) for c in plain.get(name, ()))) for name in POLYNOMIALS
        }
        return cls(**polynomials, layers=int(plain["layers"]))


def _plain(value: Coefficient) -> int | str:
    return value if isinstance(value, int) else str(value)


def gram_matrix(width: int) -> Operations:
    """One n x n Gram matrix of n vectors of `width`: width * n^2 MACs, one CKA step (methods: CsdBERT)."""
    return Operations(matmul=Polynomial(c2=width))


SIMILARITY = "similarity"
"""The name of one step of the CKA rule among a model's extra parts."""


@dataclass(frozen=True)
class ModelCost:
    """Operations of every component of one model, per sample.

    `layers[i - 1]` is layer i, `exits[i]` the exit after layer i (pooling, pooler, head). `classifier` is the
    ordinary single classifier (pooler and linear head) of the same width and classes, the reference that
    speed-ups are taken against. `extras` holds whatever else a model adds, by name: "similarity", one step of the
    CKA rule; "gate_3" and the like, what is computed before layer 3. `reads[i - 1]` says in whose tokens layer i works
    (0: the run's own backbone), empty where all read one sequence.
    """

    embedding: Operations
    layers: tuple[Operations, ...]
    exits: Mapping[int, Operations]
    classifier: Operations
    extras: Mapping[str, Operations] = field(default_factory=dict)
    reads: tuple[int, ...] = ()

    def before(self, layer: int) -> Operations:
        """What is computed from the state before `layer` besides the layer itself, skipped or not: its gate."""
        found = [part for name, part in self.extras.items() if name.endswith(f"_{layer}")]
        return sum(found, start=Operations())

    def as_dict(self) -> dict[str, Any]:
        """JSON form, for keeping a cost beside a trace."""
        return {
            "embedding": self.embedding.as_dict(),
            "layers": [layer.as_dict() for layer in self.layers],
            "exits": {str(layer): operations.as_dict() for layer, operations in self.exits.items()},
            "classifier": self.classifier.as_dict(),
            "extras": {name: operations.as_dict() for name, operations in self.extras.items()},
            **({"reads": list(self.reads)} if self.reads else {}),
        }

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> ModelCost:
        """The inverse of `as_dict`."""
        read = Operations.from_dict
        return cls(
            embedding=read(plain["embedding"]),
            layers=tuple(read(layer) for layer in plain["layers"]),
            exits={int(layer): read(operations) for layer, operations in plain["exits"].items()},
            classifier=read(plain["classifier"]),
            extras={name: read(operations) for name, operations in plain["extras"].items()},
            reads=tuple(plain.get("reads", ())),
        )
