import pytest
import torch
from transformers import RobertaConfig, RobertaForMaskedLM, RobertaModel

from eebench.backbones.checkpoints import load_backbone, skeleton_backbone
from eebench.backbones.roberta import RobertaBackbone


@pytest.fixture
def config(small):
    return RobertaConfig(
        **small, num_hidden_layers=3, max_position_embeddings=20, type_vocab_size=1, pad_token_id=1,
        attn_implementation="sdpa",
    )  # fmt: skip


@pytest.mark.parametrize("lengths", [(9, 4, 6), (5, 5)])
def test_layer_by_layer_equals_the_stock_forward_pass(config, batch_of, assert_stock, lengths):
    model = RobertaModel(config)
    # The batch has segments of 1, which this model has no embedding for: they must not be fed.
    batch = batch_of(pad_id=1, lengths=lengths)
    assert batch.segments.max() == 1
    assert_stock(RobertaBackbone(model), model, batch, segments=False)


def test_positions_start_after_the_padding_index(config, batch_of):
    backbone = RobertaBackbone(RobertaModel(config)).eval()
    batch = batch_of(pad_id=1, lengths=(4, 2))
    before = backbone.embed(batch).hidden
    with torch.no_grad():
        backbone.embeddings.position_embeddings.weight[:2].add_(1.0)
        after = backbone.embed(batch).hidden
    # Rows 0 and 1 of the table belong to no real token; row 1 is the padding's.
    assert torch.equal(before[batch.mask], after[batch.mask])
    assert not torch.equal(before[~batch.mask], after[~batch.mask])


def test_a_masked_language_model_has_no_pooler(config, batch_of, assert_stock, tmp_path):
    model = RobertaForMaskedLM(config)
    model.save_pretrained(tmp_path)
    loaded = load_backbone(str(tmp_path))
    assert loaded.pooler_weights() is None
    assert_stock(loaded, model.roberta, batch_of(pad_id=1), segments=False)


def test_a_saved_pooler_is_found_and_a_model_can_be_cut(config, batch_of, assert_stock, tmp_path):
    model = RobertaModel(config)
    model.save_pretrained(tmp_path)
    cut = load_backbone(str(tmp_path), 2)
    assert torch.equal(cut.pooler_weights()[0], model.pooler.dense.weight)
    assert cut.depth == 2 == skeleton_backbone(str(tmp_path), 2).depth
    assert_stock(cut, model, batch_of(pad_id=1), segments=False)
