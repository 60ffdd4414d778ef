import json

import pytest
import torch
from safetensors.torch import save_file
from transformers import BertConfig, BertModel

from eebench.backbones.checkpoints import backbone_pooling, load_backbone, skeleton_backbone
from eebench.backbones.elasticbert import ElasticBertBackbone, read_poolers
from eebench.errors import ModelError
from eebench.heads import HeadConfig, exit_heads

WIDTH, LAYERS = 24, 3


@pytest.fixture
def model(small):
    config = BertConfig(**small, num_hidden_layers=LAYERS, attn_implementation="sdpa")
    return BertModel(config, add_pooling_layer=False)


def write(directory, model, naming="pooler.{}.dense.", prefix="", layers=LAYERS, **changes):
    """A checkpoint as one might find it: BERT's names and a pooler per layer, filled with the layer's number."""
    weights = {prefix + name: tensor.clone() for name, tensor in model.state_dict().items()}
    for layer in range(layers):
        start = prefix + naming.format(layer)
        weights |= {f"{start}weight": torch.full((WIDTH, WIDTH), layer + 1.0)}
        weights |= {f"{start}bias": torch.full((WIDTH,), -layer - 1.0)}
    save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})
    config = model.config.to_dict() | {"model_type": "elasticbert"} | changes
    (directory / "config.json").write_text(json.dumps(config))
    return str(directory)


NAMINGS = (
    ("pooler.{}.dense.", ""),
    ("encoder.pooler.{}.dense.", "elasticbert."),
    ("poolers.{}.", ""),
    ("encoder.layer.{}.pooler.dense.", ""),
)


@pytest.mark.parametrize(("naming", "prefix"), NAMINGS)
def test_encoder_and_poolers_are_found_under_common_names(
    model, batch_of, assert_stock, tmp_path, naming, prefix
):
    name = write(tmp_path, model, naming, prefix)
    loaded = load_backbone(name)
    assert isinstance(loaded, ElasticBertBackbone) and backbone_pooling(name) == "cls"
    assert_stock(loaded, model, batch_of())
    for layer in (1, 2, 3):
        weight, bias = loaded.pooler_weights(layer)
        assert torch.equal(weight, torch.full((WIDTH, WIDTH), float(layer)))
        assert torch.equal(bias, torch.full((WIDTH,), -float(layer)))
    assert torch.equal(loaded.pooler_weights()[1], loaded.pooler_weights(3)[1])


def test_each_exit_starts_from_the_pooler_of_its_layer(model, tmp_path):
    loaded = load_backbone(write(tmp_path, model))
    heads = exit_heads(loaded, 2, HeadConfig(pooler="own"), (1, 3))
    assert [heads[layer].pooler.dense.bias[0].item() for layer in (1, 3)] == [-1.0, -3.0]
    shared = exit_heads(loaded, 2, HeadConfig(pooler="shared"), (1, 3))
    assert shared[1].pooler.dense.bias[0].item() == -3.0


def test_the_first_layers_alone(model, batch_of, assert_stock, tmp_path):
    name = write(tmp_path, model)
    cut = load_backbone(name, 2)
    assert cut.depth == 2 and cut.pooler_weights()[1][0] == -2.0
    assert_stock(cut, model, batch_of())
    skeleton = skeleton_backbone(name, 2)
    assert skeleton.pooler_weights(1) is None
    assert sum(p.numel() for p in skeleton.parameters()) == sum(p.numel() for p in cut.parameters())


def test_poolers_are_copies(model, tmp_path):
    loaded = load_backbone(write(tmp_path, model))
    loaded.pooler_weights(1)[0].zero_()
    assert loaded.pooler_weights(1)[0][0, 0] == 1.0
    assert not any("pooler" in name for name, _ in loaded.named_parameters())


def test_the_architecture_name_tells_as_well(model, tmp_path):
    name = write(tmp_path, model, model_type="bert", architectures=["ElasticBertModel"])
    assert load_backbone(name).pooler_weights(2)[1][0] == -2.0


def test_missing_poolers_are_named(model, tmp_path):
    name = write(tmp_path, model, layers=2)
    with pytest.raises(ModelError, match=r"lacks 2 pooler tensors.*: pooler\.2\.dense\.weight, pooler\.2"):
        load_backbone(name)
    assert load_backbone(name, 2).depth == 2


def test_a_missing_layer_is_named(model, tmp_path):
    name = write(tmp_path, model, num_hidden_layers=LAYERS + 1)
    with pytest.raises(
        ModelError, match=r"no whole ElasticBERT model: 16 tensors are missing: encoder\.layer\.3\."
    ):
        load_backbone(name)


def test_other_tensors_are_no_poolers(tmp_path):
    save_file(
        {
            "pooler.dense.weight": torch.ones(2, 2),
            "my_pooler.0.weight": torch.ones(2),
            "pooler.1.bias": torch.ones(2),
        },
        tmp_path / "model.safetensors",
    )
    assert list(read_poolers(tmp_path)) == [(1, "bias")]


def test_damaged_weights(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"nonsense")
    with pytest.raises(ModelError, match="cannot load"):
        read_poolers(tmp_path)
