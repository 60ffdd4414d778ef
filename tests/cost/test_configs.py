import json
from pathlib import Path

import pytest
from transformers import BertConfig

from eebench.cost.configs import backbone_config
from eebench.errors import ModelError


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    BertConfig(hidden_size=48, num_hidden_layers=3, num_attention_heads=4).save_pretrained(tmp_path)
    return tmp_path


def rewrite(directory: Path, **changes: object) -> None:
    path = directory / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_known_name_needs_nothing():
    config = backbone_config("minilm-l6")
    assert (config.num_hidden_layers, config.hidden_size) == (6, 384)
    assert (config.num_attention_heads, config.intermediate_size, config.vocab_size) == (12, 1536, 30522)


def test_toy():
    assert backbone_config("toy").hidden_size == 32


def test_local_directory(directory: Path):
    config = backbone_config(str(directory))
    assert (config.num_hidden_layers, config.hidden_size, config.num_attention_heads) == (3, 48, 4)


def test_directory_without_a_model(tmp_path: Path):
    with pytest.raises(ModelError, match=r"is no model: it has no config\.json"):
        backbone_config(str(tmp_path))


@pytest.mark.parametrize(("text", "message"), [("{", "is not JSON"), ("[1]", "is not a JSON object")])
def test_damaged_config(tmp_path: Path, text: str, message: str):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ModelError, match=message):
        backbone_config(str(tmp_path))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "t5"}, "a model of type 't5'"),
        ({"hidden_size": "wide"}, "not a BERT configuration"),
        ({"id2label": 5}, "not a BERT configuration"),
        ({"hidden_size": 50}, "hidden_size 50 does not divide into 4 heads"),
        ({"num_hidden_layers": 0}, "num_hidden_layers is 0"),
        ({"hidden_act": "gulp"}, "unknown hidden_act 'gulp'"),
    ],
)
def test_unusable_config(directory: Path, changes: dict[str, object], message: str):
    rewrite(directory, **changes)
    with pytest.raises(ModelError, match=message):
        backbone_config(str(directory))


@pytest.mark.parametrize("name", ["./nowhere", "/no/such/directory", "no/such/directory"])
def test_missing_directory(name: str):
    with pytest.raises(ModelError, match=r"no directory .*; give a directory"):
        backbone_config(name)


def test_unknown_name_without_a_network():
    from huggingface_hub import constants

    # Hub access is switched off the way HF_HUB_OFFLINE=1 does it, so no test waits for a network.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(constants, "HF_HUB_OFFLINE", True)
        with pytest.raises(ModelError, match=r"unknown backbone 'bert-bse-uncased'.*'bert-base-uncased'"):
            backbone_config("bert-bse-uncased")
        # An owner and a name are a model of the hub, not a directory.
        with pytest.raises(ModelError, match=r"unknown backbone 'nobody/nothing'"):
            backbone_config("nobody/nothing")


def test_names_of_distilbert(tmp_path: Path):
    (tmp_path / "config.json").write_text('{"model_type": "distilbert", "dim": 50, "n_heads": 4}')
    with pytest.raises(ModelError, match="dim 50 does not divide into 4 heads"):
        backbone_config(str(tmp_path))
    rewrite(tmp_path, dim=48, hidden_dim=0)
    with pytest.raises(ModelError, match="hidden_dim is 0"):
        backbone_config(str(tmp_path))
    rewrite(tmp_path, hidden_dim=8, activation="gulp")
    with pytest.raises(ModelError, match="unknown activation 'gulp'"):
        backbone_config(str(tmp_path))


def test_sizes_that_only_some_types_have(tmp_path: Path):
    sizes = {"hidden_size": 48, "num_attention_heads": 4, "num_hidden_groups": 0}
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "albert", **sizes}))
    with pytest.raises(ModelError, match="num_hidden_groups is 0"):
        backbone_config(str(tmp_path))


def test_elasticbert_is_a_type_of_its_own(directory: Path):
    rewrite(directory, model_type="elasticbert")
    assert backbone_config(str(directory)).model_type == "elasticbert"


def test_a_backbone_that_is_not_assembled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match="eebench assemble mpnet-base"):
        backbone_config("mpnet-base")
