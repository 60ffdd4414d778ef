"""The configuration of a backbone, from its name alone: config.json is read, never weights or code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from huggingface_hub.errors import StrictDataclassError
from transformers import BertConfig, PreTrainedConfig
from transformers.activations import ACT2FN

from eebench.backbones.toy import toy_config
from eebench.cost.shapes import SHAPES, Shape, known_shape
from eebench.errors import ModelError, closest


def backbone_config(name: str) -> BertConfig:
    """The configuration of backbone `name`: a known name, a local directory, or a name on the hub.

    Raises ModelError when there is no such model or when it is not of type BERT.
    """
    shape = known_shape(name)
    if shape is not None:
        return shape_config(shape)
    if name == "toy":
        return toy_config()
    directory = Path(name).expanduser()
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


def _read_config(plain: dict[str, Any], where: str) -> BertConfig:
    if plain.get("model_type") != "bert":
        kind = plain.get("model_type", "unknown")
        raise ModelError(f"{where} holds a model of type '{kind}'; costs are known for type 'bert'.")
    try:
        config = BertConfig.from_dict(plain | {"attn_implementation": "sdpa"})
    except (AttributeError, TypeError, ValueError, StrictDataclassError) as error:
        reason = str(error).strip().split("\n")[0]
        raise ModelError(f"{where}: config.json is not a BERT configuration: {reason}") from error
    _check_sizes(config, where)
    if config.hidden_act not in ACT2FN:
        raise ModelError(f"{where}: unknown hidden_act '{config.hidden_act}' in config.json.")
    return config


def _check_sizes(config: BertConfig, where: str) -> None:
    """What `transformers` would only trip over while building the layers."""
    sizes = ("num_hidden_layers", "hidden_size", "num_attention_heads", "intermediate_size", "vocab_size",
             "max_position_embeddings")  # fmt: skip
    for size in sizes:
        if getattr(config, size) < 1:
            raise ModelError(
                f"{where}: {size} is {getattr(config, size)} in config.json; it must be 1 or more."
            )
    if config.hidden_size % config.num_attention_heads:
        raise ModelError(
            f"{where}: hidden_size {config.hidden_size} does not divide into {config.num_attention_heads} "
            "heads; correct config.json."
        )


def _hub_config(name: str) -> BertConfig:
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
