"""The assistant's losses and stages against the paper and hand-computed numbers."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import BertConfig, BertModel

from eebench.backbones.bert import BertBackbone
from eebench.backbones.checkpoints import load_backbone
from eebench.backbones.tokens import load_tokenizer
from eebench.distillation import Lesson, TaughtOutputs
from eebench.losses import exit_losses
from eebench.methods.catalogue import find_method
from eebench.methods.cost_eff_assistant import (
    INNER,
    LAST,
    AssistantOptions,
    CosteffModel,
    assistant_predictions,
    feature_term,
    hard_term,
    soft_term,
)
from eebench.training.stages import Stage, Step

STEP = Step(0, np.arange(1))


def taught(student: list[list[float]], teacher: list[list[float]]) -> TaughtOutputs:
    """One sample whose exits answer with these probabilities, and the teacher's exits with those."""
    logits, lesson = (torch.tensor(rows).log()[:, None, :] for rows in (student, teacher))
    return TaughtOutputs(logits, mask=torch.ones(1, 1).bool(), teacher=Lesson(lesson))


def cross(teacher: list[float], student: list[float]) -> float:
    return -sum(t * math.log(s) for t, s in zip(teacher, student, strict=True))


P, Q, T = [0.8, 0.2], [0.5, 0.5], [0.9, 0.1]


def test_soft_labels_go_from_exit_to_exit_or_from_one_to_all() -> None:
    assert float(soft_term(taught([P, Q], [T, P]))) == pytest.approx(cross(T, P) + cross(P, Q), rel=1e-6)
    assert float(soft_term(taught([P, Q], [T]))) == pytest.approx(cross(T, P) + cross(T, Q), rel=1e-6)
    assert float(soft_term(taught([P, Q], [T, P]), LAST)) == pytest.approx(cross(P, Q), rel=1e-6)
    assert float(soft_term(taught([P, Q], [T, P]), INNER)) == pytest.approx(cross(T, P), rel=1e-6)
    # an untrained inner exit of the teacher is not asked: its last one teaches all
    assert float(soft_term(taught([P, Q], [T, P]), teacher=LAST)) == pytest.approx(
        cross(P, P) + cross(P, Q), rel=1e-6
    )


def test_half_soft_half_hard() -> None:
    outputs, labels = taught([P, Q], [T]), torch.tensor([1])
    soft = cross(T, P) + cross(T, Q)
    hard = -math.log(0.2) - math.log(0.5)
    terms = assistant_predictions(outputs, labels, STEP, slice(None), hard=True)
    assert float(terms["loss"]) == pytest.approx((soft + hard) / 2, rel=1e-6)
    assert float(hard_term(outputs, labels)) == pytest.approx(hard, rel=1e-6)
    paper = assistant_predictions(outputs, labels, STEP, slice(None), hard=False)
    assert float(paper["loss"]) == pytest.approx(soft, rel=1e-6) and paper.keys() == {"loss"}


def test_features_are_compared_in_every_state_the_embeddings_included() -> None:
    """Two states of one sample, two tokens of width 2, the second padding: 4/2 + 1/2 and (0 + 9)/2.

    A second sample, twice as long and with all states alike, halves a mean over samples; two of three tokens are its.
    """
    own = torch.tensor([[[[2.0, 1.0], [5.0, 5.0]]], [[[0.0, 3.0], [0.0, 0.0]]]])
    lesson = Lesson(torch.zeros(1, 1, 2), hidden=torch.zeros_like(own))
    mask = torch.tensor([[True, False]])
    outputs = TaughtOutputs(torch.zeros(1, 1, 2), mask=mask, teacher=lesson, hidden=own)
    assert float(feature_term(outputs, "per_token")) == pytest.approx(2.5 + 4.5)
    assert float(feature_term(outputs, "plain")) == pytest.approx(2.5 + 4.5)
    two = torch.cat([own, torch.zeros_like(own)], dim=1)
    lesson = Lesson(torch.zeros(1, 2, 2), hidden=torch.zeros_like(two))
    mask = torch.tensor([[True, False], [True, True]])
    outputs = TaughtOutputs(torch.zeros(1, 2, 2), mask=mask, teacher=lesson, hidden=two)
    assert float(feature_term(outputs, "per_token")) == pytest.approx(7 / 2)
    assert float(feature_term(outputs, "plain")) == pytest.approx(7 / 3)


def stages(**given: Any) -> list[Stage]:
    return find_method("cost-eff-assistant").stages(AssistantOptions(**given))


def test_the_released_recipe() -> None:
    features, predictions = stages()
    assert (features.name, features.epochs, features.lr, features.select) == ("features", 4, 2e-5, "last")
    assert (predictions.name, predictions.epochs, predictions.lr) == ("predictions", 12, 2e-5)
    assert predictions.select is None and AssistantOptions().select == "best"
    assert [stage.epochs for stage in stages(epochs=5)] == [1, 5]


def test_the_papers_recipe_and_the_ablations() -> None:
    assert [stage.name for stage in stages(ta_recipe="paper")] == ["predictions"]
    assert [stage.name for stage in stages(training="two_stage")] == ["features", "predictions", "exits"]
    model = build({})
    _, first, second = stages(training="two_stage")
    names = [name for name, _ in model.named_parameters()]
    assert {name for name in names if second.trains(name, model)} == {
        "heads.1.classifier.weight",
        "heads.1.classifier.bias",
    }
    assert all(first.trains(name, model) != second.trains(name, model) for name in names)
    _, last_only = stages(ta_exit_loss=False)
    terms = last_only.objective(taught([P, Q], [T]), torch.tensor([0]), STEP)
    assert float(terms["loss"]) == pytest.approx((cross(T, Q) - math.log(0.5)) / 2, rel=1e-6)
    assert last_only.judge([0.1, 0.7]) == 0.7


def build(given: Mapping[str, Any]) -> CosteffModel:
    options = AssistantOptions(**given)
    model = find_method("cost-eff-assistant").build(load_backbone("toy"), 2, options)
    assert isinstance(model, CosteffModel)
    return model


def test_equilibrium_averages_only_where_there_are_several_losses() -> None:
    assert build({}).balanced
    for given in ({"training": "two_stage"}, {"ta_exit_loss": False}, {"gradient_equilibrium": False}):
        assert not build(given).balanced


def gradients(balanced: bool, exits: tuple[int, ...]) -> dict[str, Tensor]:
    torch.manual_seed(0)
    model = build({"gradient_equilibrium": balanced, "head": {"pooler": "tanh", "dropout": 0.0}}).double()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    batch = load_tokenizer("toy").encode([("a good day",), ("grim film and cold",)], 16).batch(np.arange(2))
    model.train().teach(build({}).double())
    logits = model(batch).logits
    exit_losses(logits, torch.tensor([1, 0]))[list(exits)].sum().backward()
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def test_a_layers_gradient_is_the_average_of_its_exits_and_heads_keep_theirs() -> None:
    """Eq. 3 on two layers, through the taught model's own forward pass (logits are fp32)."""
    together, first, second = gradients(True, (0, 1)), gradients(False, (0,)), gradients(False, (1,))
    for name, gradient in together.items():
        if name.startswith("heads."):
            expected = first[name] + second[name]
        elif name.startswith("backbone.layers.1."):
            expected = second[name]
        else:
            expected = (first[name] + second[name]) / 2
        assert torch.allclose(gradient, expected, atol=1e-7), name


def test_the_assistant_of_bert_base_has_the_papers_parameters() -> None:
    with torch.device("meta"):
        backbone = BertBackbone(BertModel(BertConfig()))
        model = find_method("cost-eff-assistant").build(backbone, 2, AssistantOptions())
    assert model.parameter_count() == 108_910_104
    assert sum(p.numel() for p in model.heads.parameters()) == 18_456


def test_the_teacher_is_a_plain_fine_tuned_run_with_its_own_head(toy_job) -> None:
    job = toy_job("cost-eff-assistant", epochs=3)
    assert job.needs["teacher"].spec.key == toy_job("finetune", epochs=3).spec.key
    other = toy_job("cost-eff-assistant", epochs=3, teacher_epochs=1, teacher_lr=1e-4)
    assert other.needs["teacher"].spec.key == toy_job("finetune", epochs=1, lr=1e-4).spec.key


def test_it_trains_and_can_be_used_as_it_is(executor, toy_job) -> None:
    job = toy_job("cost-eff-assistant", epochs=3)
    trace = executor.ensure_trace(job)
    assert trace.logits.shape == (2, 48, 2)
    record = executor.run(job).record()
    assert [entry["stage"] for entry in record["history"]] == ["features", *["predictions"] * 3]
    assert record["history"][-1]["hard"] < record["history"][1]["hard"]
    assert float((trace.logits[-1].argmax(-1).numpy() == trace.labels.numpy()).mean()) > 0.7
