"""Which rows form each batch: random, but of similar length, so that little padding is computed."""

from __future__ import annotations

import numpy as np

BUCKET = 50
"""Batches per bucket: rows are sorted by length only within a random bucket of this many batches."""


def epoch_batches(lengths: np.ndarray, batch_size: int, seed: int, epoch: int) -> list[np.ndarray]:
    """Row numbers of each batch of one epoch; a function of (seed, epoch) alone, so resume needs no state.

    Every row appears once; only the last batch of the whole epoch may be smaller than `batch_size`.
    """
    random = np.random.default_rng([seed, epoch])
    rows = random.permutation(len(lengths))
    size = batch_size * BUCKET
    batches = []
    for start in range(0, len(rows), size):
        bucket = rows[start : start + size]
        bucket = bucket[np.argsort(lengths[bucket], kind="stable")]
        batches += [bucket[first : first + batch_size] for first in range(0, len(bucket), batch_size)]
    return [batches[index] for index in random.permutation(len(batches))]
