import copy

import pytest
import torch
from transformers import MPNetConfig, MPNetModel

from eebench.backbones.checkpoints import load_backbone, skeleton_backbone
from eebench.backbones.mpnet import MPNetBackbone


@pytest.fixture
def model(small):
    config = MPNetConfig(**small, num_hidden_layers=3, max_position_embeddings=60)
    model = MPNetModel(config)
    # Large enough that attention without it would be far off.
    torch.nn.init.normal_(model.encoder.relative_attention_bias.weight, std=2.0)
    return model


# Distances beyond 16 share buckets.
@pytest.mark.parametrize("lengths", [(9, 4, 6), (5, 5), (50, 31)])
def test_layer_by_layer_equals_the_stock_forward_pass(model, batch_of, assert_stock, lengths):
    assert_stock(MPNetBackbone(model), model, batch_of(pad_id=1, lengths=lengths), segments=False)


def test_padding_changes_nothing(model, batch_of):
    backbone, batch = MPNetBackbone(model).eval(), batch_of(pad_id=1)
    alone = type(batch)(batch.input_ids[1:2, :4], batch.mask[1:2, :4], batch.segments[1:2, :4], padded=False)
    with torch.no_grad():
        assert torch.allclose(backbone(batch).hidden[1, :4], backbone(alone).hidden[0], atol=1e-5)


def test_rows_that_leave_take_their_attention_along(model, batch_of):
    backbone, batch = MPNetBackbone(model).eval(), batch_of(pad_id=1)
    with torch.no_grad():
        state = backbone.embed(batch)
        kept = type(state)(state.hidden[[2, 0]], state.mask[[2, 0]], state.attention[[2, 0]])
        assert torch.allclose(
            backbone.layer(1, kept).hidden, backbone.layer(1, state).hidden[[2, 0]], atol=1e-6
        )


def test_the_position_bias_is_a_parameter_that_learns_once(model, batch_of):
    backbone = copy.deepcopy(MPNetBackbone(model))
    names = [name for name, _ in backbone.named_parameters()]
    assert names.count("relative_attention_bias.weight") == 1
    pooler = 24 * 24 + 24
    assert sum(p.numel() for p in backbone.parameters()) == model.num_parameters() - pooler
    backbone(batch_of(pad_id=1)).hidden.square().sum().backward()
    assert backbone.relative_attention_bias.weight.grad.abs().max() > 0


def test_a_saved_model_comes_back_whole_or_cut(model, batch_of, assert_stock, tmp_path):
    model.save_pretrained(tmp_path)
    loaded, cut = load_backbone(str(tmp_path)), load_backbone(str(tmp_path), 1)
    assert torch.equal(loaded.pooler_weights()[1], model.pooler.dense.bias)
    assert_stock(loaded, model, batch_of(pad_id=1), segments=False)
    assert_stock(cut, model, batch_of(pad_id=1), segments=False)
    assert skeleton_backbone(str(tmp_path), 1).depth == cut.depth == 1
