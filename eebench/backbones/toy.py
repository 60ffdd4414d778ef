"""A random two-layer BERT for unit tests, conformance and docs: runs in milliseconds, learns toy tasks."""

from __future__ import annotations

import torch
from transformers import BertConfig, BertModel

from eebench.backbones.base import Backbone

TOY_DEPTH = 2
TOY_VERSION = 1
TOY_VOCABULARY = 128


def toy_config(depth: int | None = None) -> BertConfig:
    """The stock configuration class at width 32."""
    return BertConfig(
        vocab_size=TOY_VOCABULARY, hidden_size=32, num_hidden_layers=depth or TOY_DEPTH, num_attention_heads=2,
        intermediate_size=64, max_position_embeddings=64, attn_implementation="sdpa",
    )  # fmt: skip


def toy_backbone(depth: int | None = None) -> Backbone:
    """The toy backbone; its random weights are always the same and leave the global generator untouched."""
    from eebench.backbones.bert import BertBackbone
    from eebench.backbones.checkpoints import check_depth

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = BertModel(toy_config())
    if depth is not None:
        model.encoder.layer = model.encoder.layer[: check_depth(depth, TOY_DEPTH, "toy")]
    return BertBackbone(model, "mean")
