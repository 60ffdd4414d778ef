import math

import numpy as np
import pytest
import torch

from eebench.backbones.checkpoints import load_backbone
from eebench.backbones.tokens import load_tokenizer
from eebench.distillation import (
    Asked,
    LayerPair,
    Taught,
    TaughtOutputs,
    attention_distance,
    attention_scores,
    cosine_distance,
    feature_distance,
    patient_distance,
    self_attention,
    soft_cross_entropy,
    soft_divergence,
    spaced,
    walk,
)
from eebench.errors import UserError
from eebench.heads import HeadConfig, exit_heads
from eebench.model import MultiExitModel, weights_of

EVERYTHING = Asked(hidden=True, pooled="cls", attention=(LayerPair(1, 1), LayerPair(1, 2)))


def make(kind, depth, seed=0):
    """A toy model of the first `depth` layers with one exit at its last."""
    torch.manual_seed(seed)
    backbone = load_backbone("toy", depth)
    return kind(backbone, dict(exit_heads(backbone, 2, HeadConfig(), (depth,))))


@pytest.fixture
def batch():
    encoded = load_tokenizer("toy").encode([("a good day",), ("grim",)], 16)
    return encoded.batch(np.arange(2))


@pytest.fixture
def student():
    taught = make(Taught, 1)
    taught.teach(make(MultiExitModel, 2, seed=1))
    return taught


def test_the_teacher_is_no_part_of_the_student(student):
    assert weights_of(student).keys() == weights_of(make(MultiExitModel, 1)).keys()
    student.train()
    assert not student.teacher.training
    assert not any(parameter.requires_grad for parameter in student.teacher.parameters())


def test_a_student_without_a_teacher_is_an_ordinary_model(batch):
    lone = make(Taught, 1).train()
    assert not isinstance(lone(batch), TaughtOutputs)
    with pytest.raises(ValueError, match="no teacher yet"):
        _ = lone.teacher


def test_evaluation_asks_no_teacher(student, batch):
    outputs = student.eval()(batch)
    assert not isinstance(outputs, TaughtOutputs)
    assert torch.equal(outputs.logits, walk(student, batch)[0].logits)


def test_both_sides_show_what_is_asked(student, batch):
    student.asked = EVERYTHING
    outputs = student.train()(batch)
    rows, tokens = batch.input_ids.shape
    assert torch.equal(outputs.mask, batch.mask)
    assert outputs.hidden.shape == (2, rows, tokens, 32)
    assert outputs.teacher.hidden.shape == (3, rows, tokens, 32)
    assert outputs.pooled.shape == (2, rows, 32) and outputs.teacher.pooled.shape == (3, rows, 32)
    assert outputs.attention.shape == outputs.teacher.attention.shape == (2, rows, 2, tokens, tokens)
    assert torch.equal(outputs.teacher.pooled, outputs.teacher.hidden[:, :, 0])
    assert torch.equal(outputs.teacher.logits, student.teacher(batch).logits)
    assert outputs.hidden.requires_grad and not outputs.teacher.hidden.requires_grad


def test_nothing_is_kept_that_is_not_asked(student, batch):
    outputs = student.train()(batch)
    kept = (outputs.hidden, outputs.pooled, outputs.attention)
    assert [*kept, outputs.teacher.hidden, outputs.teacher.pooled, outputs.teacher.attention] == [None] * 6


def test_the_states_are_the_models_own(batch):
    model = make(MultiExitModel, 2).eval()
    outputs, states = walk(model, batch)
    assert torch.equal(outputs.logits, model(batch).logits)
    assert torch.equal(states[0].hidden, model.embed(batch).hidden)
    assert torch.equal(states[2].hidden, model.backbone(batch).hidden)


def test_what_is_shown_is_fp32_under_autocast(student, batch):
    student.asked = EVERYTHING
    with torch.autocast("cpu", torch.bfloat16):
        outputs = student.train()(batch)
    for shown in (outputs, outputs.teacher):
        parts = (shown.logits, shown.hidden, shown.pooled, shown.attention)
        assert {part.dtype for part in parts} == {torch.float32}


def test_scores_are_those_the_layer_attends_by(batch):
    """Softmax of the scores, times the values, is what the stock attention gives."""
    backbone = load_backbone("toy").eval()
    state = backbone.embed(batch)
    scores = attention_scores(backbone, 2, state)
    weights = scores.masked_fill(~batch.mask[:, None, None, :], -torch.inf).softmax(-1)
    attention = self_attention(backbone, 2)
    values = attention.value(state.hidden).unflatten(-1, (2, 16)).transpose(1, 2)
    expected = attention(state.hidden, state.attention)[0]
    assert torch.allclose((weights @ values).transpose(1, 2).flatten(2), expected, atol=1e-6)


def test_a_backbone_without_such_layers_is_refused_with_an_alternative():
    from transformers import DistilBertConfig

    from eebench.backbones.architectures import ARCHITECTURES

    backbone = ARCHITECTURES["distilbert"].skeleton(DistilBertConfig(n_layers=1))
    with pytest.raises(UserError, match=r"distilbert backbone cannot be read; choose .* \(pkd, distilbert\)"):
        self_attention(backbone, 1)


def test_evenly_spaced_layers():
    assert spaced(6, 12) == (2, 4, 6, 8, 10, 12)
    assert spaced(4, 12) == (3, 6, 9, 12)
    assert spaced(4, 6) == (2, 3, 4, 6)
    assert spaced(3, 3) == (1, 2, 3)


def test_soft_cross_entropy_by_hand():
    student, teacher = torch.tensor([[0.8, 0.2]]).log(), torch.tensor([[0.5, 0.5]]).log()
    expected = -0.5 * math.log(0.8) - 0.5 * math.log(0.2)
    assert float(soft_cross_entropy(student, teacher, 1.0)) == pytest.approx(expected, abs=1e-6)
    # T = 2 takes square roots: sqrt(0.8) : sqrt(0.2) is 2 : 1. No T^2.
    warm = -0.5 * math.log(2 / 3) - 0.5 * math.log(1 / 3)
    assert float(soft_cross_entropy(student, teacher, 2.0)) == pytest.approx(warm, abs=1e-6)


def test_one_teacher_exit_teaches_every_exit():
    student = torch.randn(3, 4, 2)
    losses = soft_cross_entropy(student, torch.randn(1, 4, 2))
    assert losses.shape == (3,)


def test_soft_divergence_by_hand():
    student, teacher = torch.tensor([[0.8, 0.2]]).log(), torch.tensor([[0.5, 0.5]]).log()
    expected = 0.5 * math.log(0.5 / 0.8) + 0.5 * math.log(0.5 / 0.2)
    assert float(soft_divergence(student, teacher)) == pytest.approx(expected, abs=1e-6)
    warm = 0.5 * math.log(0.5 / (2 / 3)) + 0.5 * math.log(0.5 / (1 / 3))
    assert float(soft_divergence(student, teacher, 2.0)) == pytest.approx(4 * warm, abs=1e-6)
    assert float(soft_divergence(teacher, teacher, 5.0)) == pytest.approx(0, abs=1e-7)


def test_feature_distance_by_hand():
    """Two states of two samples, the second with one token of padding, which weighs nothing."""
    student = torch.zeros(2, 2, 2, 2)
    teacher = torch.tensor([[[1.0, 3.0], [0.0, 2.0]], [[2.0, 0.0], [9.0, 9.0]]]).expand(2, 2, 2, 2)
    mask = torch.tensor([[True, True], [True, False]])
    # Sample 1: (5 + 2) / 2 tokens; sample 2: 2 / 1 token; batch mean 2.75; two states.
    assert float(feature_distance(student, teacher, mask)) == pytest.approx(2 * (3.5 + 2) / 2)
    assert float(feature_distance(student, teacher, mask, "per_batch")) == pytest.approx(2 * (5 + 2 + 2) / 3)


def test_attention_distance_by_hand():
    student = torch.zeros(1, 1, 2, 2, 2)
    teacher = torch.tensor([[[[[1.0, 7.0], [3.0, 7.0]], [[2.0, 7.0], [0.0, 7.0]]]]])
    mask = torch.tensor([[True, False]])
    # One pair of real tokens per head: 1 and 4.
    assert float(attention_distance(student, teacher, mask)) == pytest.approx((1 + 4) / 2)
    both = torch.tensor([[True, True]])
    assert float(attention_distance(student, teacher, both)) == pytest.approx((1 + 9 + 4 + 0 + 4 * 49) / 8)


def test_patient_distance_by_hand():
    student, teacher = torch.tensor([[[3.0, 4.0]]]), torch.tensor([[[0.0, 2.0]]])
    assert float(patient_distance(student, teacher)) == pytest.approx((0.36 + 0.04) / 2)
    assert float(patient_distance(student, teacher, reduction="sum")) == pytest.approx(0.40)
    assert float(patient_distance(student, teacher, normalised=False)) == pytest.approx((9 + 4) / 2)
    twice = student.expand(2, 3, 2), teacher.expand(2, 3, 2)
    assert float(patient_distance(*twice)) == pytest.approx(0.2)
    assert float(patient_distance(*twice, reduction="sum")) == pytest.approx(0.8)


def test_cosine_distance_by_hand():
    student = torch.tensor([[[1.0, 0.0], [1.0, 1.0], [5.0, 0.0]]])
    teacher = torch.tensor([[[0.0, 2.0], [1.0, 1.0], [-5.0, 0.0]]])
    mask = torch.tensor([[True, True, False]])
    assert float(cosine_distance(student, teacher, mask)) == pytest.approx(0.5)
