"""The configuration of a backbone, from its name alone: config.json is read, never weights or code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from huggingface_hub.errors import StrictDataclassError
from transformers import BertConfig, PreTrainedConfig
from transformers.activations import ACT2FN

from eebench.backbones.architectures import Architecture, architecture_of
from eebench.backbones.checkpoints import BUNDLED, find_checkpoint
from eebench.backbones.toy import toy_config
from eebench.cost.shapes import SHAPES, Shape, known_shape
from eebench.errors import ModelError, closest


def backbone_config(name: str) -> PreTrainedConfig:
    """The configuration of backbone `name`: a known name, a local directory, or a name on the hub.

    Raises ModelError when there is no such model or when its type is not supported.
    """
    shape = known_shape(name)
    if shape is not None:
        return shape_config(shape)
    if name == "toy":
        return toy_config()
    directory = find_checkpoint(name).directory if name in BUNDLED else Path(name).expanduser()
    if directory.is_dir():
        return _read_config(_read_json(directory / "config.json"), str(directory))
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise ModelError(f"no directory {name}; give a directory with a config.json, or one of: {_names()}.")
    return _hub_config(name)


def shape_config(shape: Shape) -> BertConfig:
    """The stock configuration of that size (512 positions, two segments)."""
    return BertConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.width,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        intermediate_size=shape.feed_forward,
        attn_implementation="sdpa",
    )


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ModelError(f"{path.parent} is no model: it has no config.json; `save_pretrained` writes one.")
    try:
        loaded = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"{path} is not JSON: {error}.") from error
    if not isinstance(loaded, dict):
        raise ModelError(f"{path} is not a JSON object; `save_pretrained` writes one.")
    return loaded


def _read_config(plain: dict[str, Any], where: str) -> PreTrainedConfig:
    architecture = architecture_of(plain, where)
    try:
        config = architecture.config_class().from_dict(
            plain | {"attn_implementation": architecture.attention}
        )
    except (AttributeError, TypeError, ValueError, StrictDataclassError) as error:
        reason = str(error).strip().split("\n")[0]
        raise ModelError(
            f"{where}: config.json is not a {architecture.title} configuration: {reason}"
        ) from error
    _check_sizes(config, architecture, where)
    activation = architecture.key("hidden_act")
    if getattr(config, activation) not in ACT2FN:
        raise ModelError(f"{where}: unknown {activation} '{getattr(config, activation)}' in config.json.")
    return config


def _check_sizes(config: PreTrainedConfig, architecture: Architecture, where: str) -> None:
    """What `transformers` would only trip over while building the layers."""
    width, heads = architecture.key("hidden_size"), architecture.key("num_attention_heads")
    sizes = (width, heads, architecture.key("num_hidden_layers"), architecture.key("intermediate_size"),
             "vocab_size", "max_position_embeddings", *architecture.sizes)  # fmt: skip
    for size in sizes:
        if getattr(config, size) < 1:
            raise ModelError(
                f"{where}: {size} is {getattr(config, size)} in config.json; it must be 1 or more."
            )
    if getattr(config, width) % getattr(config, heads):
        raise ModelError(
            f"{where}: {width} {getattr(config, width)} does not divide into {getattr(config, heads)} heads; "
            "correct config.json."
        )


def _hub_config(name: str) -> PreTrainedConfig:
    try:
        plain, _ = PreTrainedConfig.get_config_dict(name)
    except (OSError, ValueError) as error:
        reason = str(error).strip().split("\n")[0]
        suggestion = closest(name, SHAPES)
        hint = f"did you mean '{suggestion}'?  " if suggestion else ""
        raise ModelError(
            f"unknown backbone '{name}': no known shape, no local directory, and the hub did not give it "
            f"({reason}); {hint}without a network there are: {_names()}."
        ) from error
    return _read_config(plain, f"backbone '{name}'")


def _names() -> str:
    return ", ".join(sorted(SHAPES))
