"""What the tests of all architectures share: a padded batch, and the comparison with the stock forward pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from eebench.backbones.base import Backbone, Batch

# The usual range of 0.02 makes layers of this width all but do nothing, and mistakes in them invisible.
SMALL = {
    "vocab_size": 50, "hidden_size": 24, "num_attention_heads": 3, "intermediate_size": 48,
    "initializer_range": 0.3,
}  # fmt: skip


@pytest.fixture
def small() -> dict[str, Any]:
    """Sizes of a small encoder, in BERT's names; a fixed seed for its weights."""
    torch.manual_seed(0)
    return dict(SMALL)


@pytest.fixture
def batch_of() -> Callable[..., Batch]:
    """`batch_of(pad_id, [7, 3])` is a batch of rows with so many real tokens; their second half is segment 1."""

    def make(pad_id: int = 0, lengths: tuple[int, ...] = (9, 4, 6)) -> Batch:
        generator = torch.Generator().manual_seed(1)
        longest, sizes = max(lengths), torch.tensor(lengths)[:, None]
        mask = torch.arange(longest) < sizes
        ids = torch.randint(3, 50, mask.shape, generator=generator).masked_fill(~mask, pad_id)
        segments = (torch.arange(longest) >= sizes // 2).long() * mask
        return Batch(ids, mask, segments, padded=not bool(mask.all()))

    return make


@pytest.fixture
def assert_stock() -> Callable[..., None]:
    """Compares every hidden state of a backbone with `hidden_states` of its stock model, to 1e-5.

    `stride` is the number of stock hidden states per layer.
    """

    def compare(backbone: Backbone, model: Any, batch: Batch, segments: bool = True, stride: int = 1) -> None:
        inputs = {"token_type_ids": batch.segments} if segments else {}
        backbone.eval(), model.eval()
        with torch.no_grad():
            stock = model(batch.input_ids, batch.mask.long(), output_hidden_states=True, **inputs)
            state = backbone.embed(batch)
            seen = [state.hidden]
            for layer in range(1, backbone.depth + 1):
                state = backbone.layer(layer, state)
                seen.append(state.hidden)
            expected = stock.hidden_states[: stride * backbone.depth + 1 : stride]
        assert len(seen) == len(expected)
        for ours, theirs in zip(seen, expected, strict=True):
            assert (ours - theirs)[batch.mask].abs().max() < 1e-5
        # The layers do something: states that never change would agree whatever the layers are.
        assert (seen[-1] - seen[0]).abs().max() > 0.5

    return compare
