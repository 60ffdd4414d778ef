import pytest
import torch
from transformers import AlbertConfig, AlbertModel

from eebench.backbones.albert import AlbertBackbone
from eebench.backbones.checkpoints import backbone_depth, load_backbone, skeleton_backbone
from eebench.errors import ModelError


def model_of(small, layers=4, groups=1, inner=1):
    config = AlbertConfig(
        **small, embedding_size=16, num_hidden_layers=layers, num_hidden_groups=groups, inner_group_num=inner,
        attn_implementation="sdpa",
    )  # fmt: skip
    return AlbertModel(config)


@pytest.mark.parametrize(("groups", "inner"), [(1, 1), (3, 1), (2, 2)])
def test_layer_by_layer_equals_the_stock_forward_pass(small, batch_of, assert_stock, groups, inner):
    model = model_of(small, 4, groups, inner)
    # The library reports the state after each inner layer.
    assert_stock(AlbertBackbone(model), model, batch_of(), stride=inner)


def test_without_padding(small, batch_of, assert_stock):
    model = model_of(small)
    assert_stock(AlbertBackbone(model), model, batch_of(lengths=(5, 5)))


def test_layers_share_one_module_whose_parameters_count_once(small):
    model = model_of(small)
    backbone = AlbertBackbone(model)
    assert len(backbone.layers) == backbone.depth == 4
    assert len({id(layer) for layer in backbone.layers}) == 1
    pooler = 24 * 24 + 24
    assert sum(p.numel() for p in backbone.parameters()) == model.num_parameters() - pooler


def test_a_cut_model_keeps_each_layer_in_its_group(small, batch_of, assert_stock):
    # Six layers in three groups: 1 1 2 2 3 3. The first three are 1 1 2, not 1 2 3.
    model = model_of(small, layers=6, groups=3)
    cut = AlbertBackbone(model, depth=3)
    assert cut.layers[0] is cut.layers[1] is not cut.layers[2]
    assert_stock(cut, model, batch_of())
    group = sum(p.numel() for p in model.encoder.albert_layer_groups[2].parameters())
    full = AlbertBackbone(model)
    assert sum(p.numel() for p in full.parameters()) - sum(p.numel() for p in cut.parameters()) == group


def test_a_saved_model_comes_back_whole_or_cut(small, batch_of, assert_stock, tmp_path):
    model = model_of(small, layers=6, groups=3)
    model.save_pretrained(tmp_path)
    assert backbone_depth(str(tmp_path)) == 6
    loaded = load_backbone(str(tmp_path))
    assert (loaded.depth, loaded.width, loaded.pooling) == (6, 24, "cls")
    assert_stock(loaded, model, batch_of())
    cut = load_backbone(str(tmp_path), 3)
    assert_stock(cut, model, batch_of())
    skeleton = skeleton_backbone(str(tmp_path), 3)
    assert sum(p.numel() for p in skeleton.parameters()) == sum(p.numel() for p in cut.parameters())
    assert torch.equal(loaded.pooler_weights()[0], model.pooler.weight)


def test_a_checkpoint_without_its_projection(small, tmp_path):
    model = model_of(small)
    weights = {name: w for name, w in model.state_dict().items() if "mapping_in" not in name}
    model.save_pretrained(tmp_path, state_dict=weights)
    message = r"no whole ALBERT model: 2 tensors are missing: encoder\.embedding_hidden_mapping_in\.bias, "
    with pytest.raises(ModelError, match=message):
        load_backbone(str(tmp_path))
