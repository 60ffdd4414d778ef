import pytest
from transformers import ElectraConfig, ElectraForPreTraining, ElectraModel

from eebench.backbones.checkpoints import load_backbone, skeleton_backbone
from eebench.backbones.electra import ElectraBackbone


def model_of(small, embedding_size, kind=ElectraModel):
    return kind(
        ElectraConfig(**small, embedding_size=embedding_size, num_hidden_layers=3, attn_implementation="sdpa")
    )


# 24 is the width of the layers: then there is no projection.
@pytest.mark.parametrize("embedding_size", [16, 24])
@pytest.mark.parametrize("lengths", [(9, 4, 6), (5, 5)])
def test_layer_by_layer_equals_the_stock_forward_pass(small, batch_of, assert_stock, embedding_size, lengths):
    model = model_of(small, embedding_size)
    backbone = ElectraBackbone(model)
    assert_stock(backbone, model, batch_of(lengths=lengths))
    assert sum(p.numel() for p in backbone.parameters()) == model.num_parameters()


def test_a_saved_discriminator_comes_back_without_its_head(small, batch_of, assert_stock, tmp_path):
    model = model_of(small, 16, ElectraForPreTraining)
    model.save_pretrained(tmp_path)
    loaded = load_backbone(str(tmp_path))
    assert (loaded.depth, loaded.pooling, loaded.pooler_weights()) == (3, "cls", None)
    assert_stock(loaded, model.electra, batch_of())
    assert_stock(load_backbone(str(tmp_path), 1), model.electra, batch_of())
    assert sum(p.numel() for p in skeleton_backbone(str(tmp_path)).parameters()) == sum(
        p.numel() for p in loaded.parameters()
    )
