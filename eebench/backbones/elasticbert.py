"""ElasticBERT: a BERT encoder that was pretrained with an exit, and so with a pooler, after every layer."""

from __future__ import annotations

import re
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor
from transformers import BertModel

from eebench.backbones.base import Pooling
from eebench.backbones.bert import BertBackbone
from eebench.errors import ModelError

Dense = tuple[Tensor, Tensor]

# pooler.0.dense.weight, encoder.pooler.0.dense.bias, elasticbert.poolers.0.weight, encoder.layer.0.pooler.dense.weight
POOLER = re.compile(
    r"(?:^|\.)(?:poolers?\.(?P<listed>\d+)|layers?\.(?P<inside>\d+)\.pooler)\.(?:dense\.)?(?P<part>weight|bias)$"
)


class ElasticBertBackbone(BertBackbone):
    """The stock `transformers.BertModel`, plus the pretrained pooler of each layer.

    The library has no class of its own for it: the encoder is BERT's in every number, and the poolers matter to
    exits only, so they are kept aside and given out by `pooler_weights`.

    Checkpoints: `config.json` with model_type `elasticbert` (or an architecture that starts with ElasticBert)
    and safetensors with BERT's names, with or without the prefix `elasticbert.`. How released checkpoints name
    the poolers is not documented, so any list `pooler.<i>.dense.weight` and `.bias` is taken, counted
    from 0, whatever stands before it, with `poolers` for `pooler`, without `dense`, or inside each layer
    (`layer.<i>.pooler.dense.weight`). Weights released as pickle must be converted first, once, for example
    with `safetensors.torch.save_file(torch.load(path, weights_only=True), "model.safetensors")`.
    """

    def __init__(self, model: BertModel, pooling: Pooling = "cls") -> None:
        super().__init__(model, pooling)
        self._poolers: tuple[Dense, ...] = ()

    def load_poolers(self, directory: Path) -> None:
        """Reads one pooler per layer; ModelError names those that are missing or of another width."""
        found = read_poolers(directory)
        missing = [
            f"pooler.{layer}.dense.{part}"
            for layer in range(self.depth)
            for part, shape in (("weight", (self.width, self.width)), ("bias", (self.width,)))
            if (layer, part) not in found or found[layer, part].shape != shape
        ]
        if missing:
            raise ModelError(
                f"{directory} lacks {len(missing)} pooler tensors of ElasticBERT, or has them in another shape: "
                f"{', '.join(missing[:6])}{', ...' if len(missing) > 6 else ''}; for an encoder without a pooler "
                "per layer set model_type to bert in config.json."
            )
        self._poolers = tuple((found[layer, "weight"], found[layer, "bias"]) for layer in range(self.depth))

    def pooler_weights(self, layer: int | None = None) -> Dense | None:
        if not self._poolers:
            return None
        weight, bias = self._poolers[(self.depth if layer is None else layer) - 1]
        return weight.clone(), bias.clone()


def read_poolers(directory: Path) -> dict[tuple[int, str], Tensor]:
    """Pooler tensors in a checkpoint's safetensors files, fp32, by layer (from 0) and part (weight, bias)."""
    found: dict[tuple[int, str], Tensor] = {}
    for path in sorted(directory.glob("*.safetensors")):
        try:
            with safe_open(path, framework="pt") as file:
                for name in file.keys():  # noqa: SIM118
                    match = POOLER.search(name)
                    if match is not None:
                        layer = int(match["listed"] or match["inside"])
                        found[layer, match["part"]] = file.get_tensor(name).float()
        except SafetensorError as error:
            raise ModelError(f"cannot load {path}: {error}") from error
    return found
