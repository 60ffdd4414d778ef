import numpy as np
import pytest
import torch

from eebench.backbones.checkpoints import load_backbone
from eebench.backbones.tokens import load_tokenizer
from eebench.heads import HeadConfig, exit_heads
from eebench.model import MultiExitModel, load_weights, weights_of


@pytest.fixture
def model():
    torch.manual_seed(0)
    backbone = load_backbone("toy")
    return MultiExitModel(backbone, dict(exit_heads(backbone, 2, HeadConfig(), (1, 2)))).eval()


@pytest.fixture
def batch():
    encoded = load_tokenizer("toy").encode([("a good day",), ("grim",)], 16)
    return encoded.batch(np.arange(2))


def test_forward_is_the_walk_through_embed_advance_classify(model, batch):
    state = model.embed(batch)
    walked = []
    for layer in model.exit_layers:
        state = model.advance(layer, state)
        walked.append(model.classify(layer, state))
    assert torch.equal(model(batch).logits, torch.stack(walked))
    assert model(batch).logits.shape == (2, 2, 2)


def test_weights_come_back(model, batch):
    before = model(batch).logits
    saved = {name: weight.clone() for name, weight in weights_of(model).items()}
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1.0)
    load_weights(model, saved)
    assert torch.equal(model(batch).logits, before)


def test_foreign_weights_are_refused(model):
    with pytest.raises(ValueError, match="do not belong"):
        load_weights(model, {"other": torch.ones(1)})


def test_logits_are_fp32_under_autocast(model, batch):
    with torch.autocast("cpu", torch.bfloat16):
        assert model(batch).logits.dtype == torch.float32


def test_exits_may_sit_after_some_layers_only(batch):
    backbone = load_backbone("toy")
    model = MultiExitModel(backbone, dict(exit_heads(backbone, 3, HeadConfig(), (1,))))
    assert (model.depth, model.classes, model(batch).logits.shape) == (1, 3, (1, 2, 3))
