"""Which model types can be backbones, and how the stock `transformers` classes of each become one.

Everything that differs between them outside their own file stands in the table below. `transformers` takes
seconds to import, so classes are named here and looked up when a model is built.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from eebench.errors import ModelError

if TYPE_CHECKING:
    from eebench.backbones.base import Backbone, Pooling

SHOWN_TENSORS = 5


@dataclass(frozen=True)
class Architecture:
    """One model type.

    `backbone` is module and class in this package; `config` and `model` are classes of `transformers`.
    `keys` has the names in config.json that differ from BERT's, `sizes` the names of further sizes;
    `renames` are patterns in tensor names and what replaces them; `tokenizer` is the type whose tokenizer it
    uses when `transformers` does not know the type. With `shares_layers` the configuration cannot be cut to
    fewer layers, the backbone does it. `reserved` position embeddings come before the first token's.
    """

    title: str
    backbone: str
    config: str
    model: str
    attention: Literal["sdpa", "eager"] = "sdpa"
    keys: Mapping[str, str] = field(default_factory=dict)
    sizes: tuple[str, ...] = ()
    renames: Mapping[str, str] = field(default_factory=dict)
    tokenizer: str | None = None
    shares_layers: bool = False
    reserved: int = 0

    def positions(self, config: Any) -> int:
        """The longest sequence, in tokens, that the position embeddings of a stock configuration reach."""
        return int(config.max_position_embeddings) - self.reserved

    def key(self, name: str) -> str:
        """What config.json calls the setting that BERT calls `name`."""
        return self.keys.get(name, name)

    def config_class(self) -> Any:
        """The stock configuration class."""
        return getattr(importlib.import_module("transformers"), self.config)

    def read_config(self, directory: Path, depth: int | None = None) -> Any:
        """The stock configuration in `directory`, with this type's form of attention and `depth` layers if given.

        Raises ModelError when the file is not a configuration of this type.
        """
        from huggingface_hub.errors import StrictDataclassError

        with quiet_transformers():
            try:
                config = self.config_class().from_pretrained(directory, attn_implementation=self.attention)
            except (AttributeError, TypeError, ValueError, StrictDataclassError) as error:
                reason = str(error).strip().split("\n")[0]
                raise ModelError(
                    f"{directory}: config.json is not a {self.title} configuration: {reason}"
                ) from error
        return self.cut(config, depth)

    def cut(self, config: Any, depth: int | None) -> Any:
        """`config` with its first `depth` layers only, where layers can be counted apart."""
        if depth is not None and not self.shares_layers:
            config.num_hidden_layers = depth
        return config

    def skeleton(self, config: Any, pooling: Pooling = "cls", depth: int | None = None) -> Backbone:
        """The modules without weights, on the `meta` device."""
        import torch

        with torch.device("meta"):
            return self.untrained(config, pooling, depth)

    def untrained(self, config: Any, pooling: Pooling = "cls", depth: int | None = None) -> Backbone:
        """The backbone with random weights, from the global generator."""
        return self._backbone(self._model_class()(config), pooling, depth)

    def load(self, directory: Path, pooling: Pooling = "cls", depth: int | None = None) -> Backbone:
        """The backbone with the weights in `directory`, fp32.

        Raises ModelError when they cannot be read, and when any tensor but the pooler's is missing or has
        another shape: such a part would start from random numbers and nobody would know.
        """
        backbone = self._backbone(self._pretrained(directory, depth), pooling, depth)
        backbone.load_poolers(directory)
        return backbone

    def _backbone(self, model: Any, pooling: Pooling, depth: int | None) -> Backbone:
        module, name = self.backbone.split(".")
        kind = getattr(importlib.import_module(f"eebench.backbones.{module}"), name)
        built: Backbone = kind(model, pooling, depth) if self.shares_layers else kind(model, pooling)
        return built

    def _model_class(self) -> Any:
        return getattr(importlib.import_module("transformers"), self.model)

    def _pretrained(self, directory: Path, depth: int | None) -> Any:
        from safetensors import SafetensorError

        config = self.read_config(directory, depth)
        with quiet_transformers():
            try:
                model, report = self._model_class().from_pretrained(
                    directory, config=config, use_safetensors=True, attn_implementation=self.attention,
                    dtype="float32", key_mapping=dict(self.renames) or None, output_loading_info=True,
                    ignore_mismatched_sizes=True,
                )  # fmt: skip
            except (OSError, SafetensorError, RuntimeError, ValueError) as error:
                reason = str(error).split("\n")[0]
                raise ModelError(f"cannot load {directory}: {reason}") from error
        self._check_complete(directory, report)
        if any(_of_pooler(name) for name in report["missing_keys"]):
            model.pooler = None
        return model

    def _check_complete(self, directory: Path, report: Mapping[str, Any]) -> None:
        missing = sorted(name for name in report["missing_keys"] if not _of_pooler(name))
        resized = sorted(name for name, *_ in report["mismatched_keys"])
        for names, fault in ((missing, "missing"), (resized, "of another shape than config.json says")):
            if names:
                shown = ", ".join(names[:SHOWN_TENSORS]) + (", ..." if len(names) > SHOWN_TENSORS else "")
                raise ModelError(
                    f"{directory} is no whole {self.title} model: {len(names)} tensors are {fault}: {shown}; "
                    "save it again from the complete model with `save_pretrained`."
                )


def _of_pooler(name: str) -> bool:
    return name.startswith("pooler.")


ARCHITECTURES: dict[str, Architecture] = {
    "bert": Architecture("BERT", "bert.BertBackbone", "BertConfig", "BertModel"),
    "albert": Architecture(
        "ALBERT",
        "albert.AlbertBackbone",
        "AlbertConfig",
        "AlbertModel",
        sizes=("embedding_size", "num_hidden_groups", "inner_group_num"),
        shares_layers=True,
    ),
    "roberta": Architecture(
        "RoBERTa", "roberta.RobertaBackbone", "RobertaConfig", "RobertaModel", reserved=2
    ),
    "electra": Architecture(
        "ELECTRA", "electra.ElectraBackbone", "ElectraConfig", "ElectraModel", sizes=("embedding_size",)
    ),
    "mpnet": Architecture(
        "MPNet", "mpnet.MPNetBackbone", "MPNetConfig", "MPNetModel", attention="eager", reserved=2
    ),
    "distilbert": Architecture(
        "DistilBERT",
        "distilbert.DistilBertBackbone",
        "DistilBertConfig",
        "DistilBertModel",
        keys={
            "num_hidden_layers": "n_layers",
            "hidden_size": "dim",
            "num_attention_heads": "n_heads",
            "intermediate_size": "hidden_dim",
            "hidden_act": "activation",
        },
    ),
    "elasticbert": Architecture(
        "ElasticBERT",
        "elasticbert.ElasticBertBackbone",
        "BertConfig",
        "BertModel",
        renames={r"^elasticbert\.": ""},
        tokenizer="bert",
    ),
}


def architecture_of(config: Mapping[str, Any], where: str) -> Architecture:
    """The architecture that a parsed config.json asks for; ModelError when there is none, naming `where`."""
    kind = config.get("model_type", "unknown")
    classes = config.get("architectures") or []
    if kind == "bert" and any(str(name).startswith("ElasticBert") for name in classes):
        kind = "elasticbert"
    if kind not in ARCHITECTURES:
        raise ModelError(f"{where} holds a model of type '{kind}'; supported: {', '.join(ARCHITECTURES)}.")
    return ARCHITECTURES[kind]


class quiet_transformers:  # noqa: N801
    """Silences the library's loading report: unused pretraining heads are expected here, not news."""

    def __enter__(self) -> None:
        from transformers.utils import logging

        self._verbosity = logging.get_verbosity()
        self._bars = logging.is_progress_bar_enabled()
        logging.set_verbosity_error()
        logging.disable_progress_bar()

    def __exit__(self, *_: object) -> None:
        from transformers.utils import logging

        logging.set_verbosity(self._verbosity)
        if self._bars:
            logging.enable_progress_bar()
