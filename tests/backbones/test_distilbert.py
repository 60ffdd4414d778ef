import pytest
from transformers import DistilBertConfig, DistilBertModel

from eebench.backbones.checkpoints import backbone_depth, load_backbone, skeleton_backbone
from eebench.backbones.distilbert import DistilBertBackbone


@pytest.fixture
def model(small):
    config = DistilBertConfig(
        vocab_size=50,
        dim=24,
        n_heads=3,
        n_layers=3,
        hidden_dim=48,
        attn_implementation="sdpa",
        initializer_range=small["initializer_range"],
    )
    return DistilBertModel(config)


@pytest.mark.parametrize("lengths", [(9, 4, 6), (5, 5)])
def test_layer_by_layer_equals_the_stock_forward_pass(model, batch_of, assert_stock, lengths):
    backbone = DistilBertBackbone(model)
    assert_stock(backbone, model, batch_of(lengths=lengths), segments=False)
    assert (backbone.depth, backbone.width, backbone.pooler_weights()) == (3, 24, None)


def test_a_saved_model_comes_back_whole_or_cut(model, batch_of, assert_stock, tmp_path):
    model.save_pretrained(tmp_path)
    assert backbone_depth(str(tmp_path)) == 3
    assert_stock(load_backbone(str(tmp_path)), model, batch_of(), segments=False)
    cut = load_backbone(str(tmp_path), 2)
    assert cut.depth == 2 == skeleton_backbone(str(tmp_path), 2).depth
    assert_stock(cut, model, batch_of(), segments=False)
