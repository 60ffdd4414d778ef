import json

import pytest
import torch
import transformers
from transformers import BertForMaskedLM, BertModel

from eebench.backbones.architectures import ARCHITECTURES, architecture_of
from eebench.backbones.toy import toy_config
from eebench.errors import ModelError


@pytest.fixture
def saved(tmp_path):
    torch.manual_seed(0)
    model = BertModel(toy_config())
    model.save_pretrained(tmp_path)
    return model, tmp_path


def resave(model, directory, **changes):
    weights = model.state_dict() | changes
    model.save_pretrained(directory, state_dict={k: v for k, v in weights.items() if v is not None})


def test_every_architecture_has_its_stock_classes():
    for kind, architecture in ARCHITECTURES.items():
        stock = "bert" if kind == "elasticbert" else kind
        assert architecture.config_class().model_type == stock
        assert hasattr(transformers, architecture.model)


def test_names_in_config_json():
    assert ARCHITECTURES["distilbert"].key("num_hidden_layers") == "n_layers"
    assert ARCHITECTURES["albert"].key("num_hidden_layers") == "num_hidden_layers"


def test_an_unknown_type():
    with pytest.raises(ModelError, match=r"somewhere holds a model of type 't5'; supported: bert, albert"):
        architecture_of({"model_type": "t5"}, "somewhere")
    with pytest.raises(ModelError, match="type 'unknown'"):
        architecture_of({}, "somewhere")


def test_missing_tensors_are_named(saved):
    model, directory = saved
    resave(model, directory, **{"encoder.layer.1.output.dense.bias": None})
    with pytest.raises(
        ModelError,
        match=r"no whole BERT model: 1 tensors are missing: encoder\.layer\.1\.output\.dense\.bias;",
    ):
        ARCHITECTURES["bert"].load(directory)


def test_tensors_of_another_shape_are_named(saved):
    model, directory = saved
    resave(model, directory, **{"embeddings.LayerNorm.weight": torch.ones(31)})
    with pytest.raises(ModelError, match=r"1 tensors are of another shape .*: embeddings\.LayerNorm\.weight"):
        ARCHITECTURES["bert"].load(directory)


def test_a_long_list_is_cut_short(saved):
    _, directory = saved
    config = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}))
    with pytest.raises(ModelError, match=r"16 tensors are missing: (encoder\.layer\.2\S+, ){5}\.\.\.;"):
        ARCHITECTURES["bert"].load(directory)


def test_a_pooler_that_was_not_saved_is_none_and_not_random(tmp_path):
    BertForMaskedLM(toy_config()).save_pretrained(tmp_path)
    assert ARCHITECTURES["bert"].load(tmp_path).pooler_weights() is None


def test_a_config_of_wrong_types(saved):
    _, directory = saved
    (directory / "config.json").write_text('{"model_type": "bert", "hidden_size": "wide"}')
    with pytest.raises(ModelError, match="not a BERT configuration"):
        ARCHITECTURES["bert"].read_config(directory)


def test_the_librarys_settings_come_back_after_loading(saved):
    from transformers.utils import logging

    before = logging.get_verbosity()
    ARCHITECTURES["bert"].load(saved[1])
    assert logging.get_verbosity() == before


@pytest.mark.parametrize(("kind", "expected"), [("bert", 512), ("roberta", 512), ("mpnet", 512)])
def test_positions_before_the_first_token_are_not_usable(kind, expected):
    architecture = ARCHITECTURES[kind]
    stored = expected + architecture.reserved
    assert architecture.positions(architecture.config_class()(max_position_embeddings=stored)) == expected
    assert architecture.reserved == (0 if kind == "bert" else 2)


def test_an_untrained_backbone_follows_the_generator_and_a_skeleton_has_no_weights():
    built = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        built.append(ARCHITECTURES["bert"].untrained(toy_config(), "mean").layers[0].output.dense.weight)
    assert torch.equal(built[0], built[1]) and not torch.equal(built[0], built[2])
    assert ARCHITECTURES["bert"].skeleton(toy_config()).layers[0].output.dense.weight.is_meta
