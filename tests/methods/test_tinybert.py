import math

import numpy as np
import pytest
import torch
from transformers import BertConfig, DistilBertConfig

from eebench.artifacts import checksum
from eebench.backbones.architectures import ARCHITECTURES
from eebench.backbones.checkpoints import load_backbone
from eebench.distillation import LayerPair, Lesson, TaughtOutputs
from eebench.engine.execute import Executor, build_skeleton
from eebench.errors import UserError
from eebench.methods.catalogue import find_method
from eebench.methods.tinybert import (
    Shape,
    TinybertModel,
    TinybertOptions,
    ask,
    ask_nothing,
    intermediate_loss,
    prediction_loss,
)
from eebench.model import weights_of
from eebench.store import Store
from eebench.training.stages import Step

STEP = Step(0, np.arange(1))
TINYBERT = find_method("tinybert")


def bert_base(layers=12):
    return ARCHITECTURES["bert"].skeleton(BertConfig(num_hidden_layers=layers))


def shape(backbone=None, **options):
    found = Shape.of(backbone or bert_base(), TinybertOptions(**options))
    return found.width, found.heads, found.feed_forward


def toy_model(depth=1, **options):
    return TINYBERT.build(load_backbone("toy", depth), 2, TinybertOptions(**options))


def log(*rows):
    """Logits [1, 1, C] with these probabilities."""
    return torch.tensor([[*rows]]).log()[None]


def test_the_papers_shapes():
    assert shape() == (312, 12, 1200)
    assert shape(form="tinybert6") == (768, 12, 3072)
    depths = [TINYBERT.depth(TinybertOptions(form=form), 12) for form in ("tinybert4", "tinybert6")]
    assert depths == [4, 6]


def test_their_proportions_on_other_backbones():
    """MiniLM's: a third of six layers, 384 * 312 / 768 = 156 = 12 * 13, 1536 * 1200 / 3072 = 600."""
    config = BertConfig(hidden_size=384, num_hidden_layers=2, intermediate_size=1536)
    assert shape(ARCHITECTURES["bert"].skeleton(config)) == (156, 12, 600)
    assert TINYBERT.depth(TinybertOptions(), 6) == 2
    # 32 * 312 / 768 = 13, which two heads cannot share.
    assert shape(load_backbone("toy")) == (12, 2, 25)


def test_shapes_can_be_given():
    assert shape(width=240, feed_forward=100, heads=6, attention_weight=0.0) == (240, 6, 100)
    assert TINYBERT.depth(TinybertOptions(layers=3), 12) == 3


def test_the_default_student_has_the_published_size():
    with torch.device("meta"):
        model = TINYBERT.build(bert_base(4), 2, TinybertOptions())
    # Embeddings 9,683,856, four layers of 1,142,184, pooler 97,656, classifier 626; the linear map is not needed.
    assert model.parameter_count() == 9_683_856 + 4 * 1_142_184 + 97_656 + 626 == 14_350_874
    assert model.projection.weight.shape == (768, 312)


def test_a_student_keeps_the_backbones_vocabulary_and_kind_of_attention():
    model, backbone = toy_model(), load_backbone("toy")
    assert model.backbone.embeddings.word_embeddings.weight.shape == (128, 12)
    assert model.backbone.config._attn_implementation == backbone.config._attn_implementation
    assert (model.backbone.pooling, backbone.width) == (backbone.pooling, 32)


def test_weights_are_taken_over_where_they_fit():
    pretrained = weights_of(load_backbone("toy", 1))
    for options, same in (({"form": "tinybert6"}, True), ({"form": "tinybert6", "init": "random"}, False)):
        own = weights_of(toy_model(**options).backbone)
        name = "layers.0.output.dense.weight"
        assert torch.equal(own[name], pretrained[name]) == same
    assert toy_model(form="tinybert6", init="teacher").inherits(4, 12) == (3, 6, 9, 12)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 64}, "width=64 is more than the backbone's 32"),
        ({"feed_forward": 65}, "feed_forward=65 is more than the backbone's 64"),
        ({"width": 13}, "width=13 is not divisible by 2 heads; for example width=12"),
        ({"heads": 4}, "4 heads cannot be compared with the teacher's 2; leave out `heads`"),
        ({"init": "teacher"}, "init=teacher needs layers as large"),
        ({"init": "pretrained", "width": 16}, "init=pretrained needs layers as large"),
        ({"layers": 3}, "asked of 'toy', which has 2"),
    ],
)
def test_students_that_cannot_be_are_refused_before_anything_trains(toy_job, options, message):
    with pytest.raises(UserError, match=message):
        toy_job("tinybert", **options)


def test_backbones_of_another_kind_are_refused():
    backbone = ARCHITECTURES["distilbert"].skeleton(DistilBertConfig(n_layers=1))
    with pytest.raises(UserError, match="attention maps of a distilbert backbone cannot be read"):
        TINYBERT.check(TinybertOptions(), lambda: backbone)


def taught(student, teacher, own_attention, attention):
    """Outputs of one sample of two tokens, the second padding."""
    logits, mask = log(0.5, 0.5), torch.tensor([[True, False]])
    lesson = Lesson(logits, hidden=teacher, attention=attention)
    return TaughtOutputs(logits, mask=mask, teacher=lesson, hidden=student, attention=own_attention)


def intermediate(**options):
    """A student of one layer and a teacher of two: states 0 and 2 are compared, not 1."""
    student = torch.zeros(2, 1, 2, 1)
    teacher = torch.tensor([[1.0, 3.0], [9.0, 9.0], [2.0, 4.0]]).view(3, 1, 2, 1)
    scores = torch.tensor([[4.0, 9.0], [2.0, 9.0]]).view(1, 1, 1, 2, 2)
    outputs = taught(student, teacher, torch.zeros(1, 1, 1, 2, 2), scores)
    return intermediate_loss(outputs, torch.tensor([0]), STEP, TinybertOptions(**options))


def test_the_intermediate_loss_by_hand():
    """One token is real: its states, 1 and 2 apart, and its attention to itself, 4 apart."""
    terms = intermediate()
    assert float(terms["hidden"]) == pytest.approx(1 + 4)
    assert float(terms["attention"]) == pytest.approx(16)
    assert float(terms["loss"]) == pytest.approx(5 + 16)
    weighted = intermediate(hidden_weight=0.5, attention_weight=2.0)
    assert float(weighted["loss"]) == pytest.approx(2.5 + 32)


def test_the_prediction_loss_by_hand():
    outputs = TaughtOutputs(log(0.8, 0.2), mask=torch.tensor([[True]]), teacher=Lesson(log(0.5, 0.5)))
    expected = -0.5 * math.log(0.8) - 0.5 * math.log(0.2)
    for mean, value in (("batch", expected), ("classes", expected / 2)):
        loss = prediction_loss(outputs, torch.tensor([0]), STEP, TinybertOptions(answers_mean=mean))
        assert float(loss["loss"]) == pytest.approx(value, abs=1e-6)


def test_regression_learns_the_gold_scores():
    logits, mask = torch.tensor([[[3.0]]]), torch.tensor([[True]])
    outputs = TaughtOutputs(logits, mask=mask, teacher=Lesson(torch.tensor([[[9.0]]])))
    loss = prediction_loss(outputs, torch.tensor([1.0]), STEP, TinybertOptions())
    assert float(loss["loss"]) == 4.0


def test_hidden_states_pass_the_map_and_it_learns():
    from eebench.backbones.tokens import load_tokenizer

    model = toy_model(form="tinybert6")
    finetune = find_method("finetune")
    model.teach(finetune.build(load_backbone("toy"), 2, finetune.options_type()))
    batch = load_tokenizer("toy").encode([("a good day",)], 16).batch(np.arange(1))
    ask(model, STEP, attention=True)
    assert model.asked.attention == (LayerPair(1, 2),)
    outputs = model.train()(batch)
    intermediate_loss(outputs, torch.tensor([0]), STEP, TinybertOptions())["loss"].backward()
    assert model.projection.weight.grad.abs().max() > 0
    with torch.no_grad():
        model.projection.weight.zero_()
        model.projection.bias.fill_(7.0)
    assert bool((model(batch).hidden == 7).all()) and not bool((outputs.hidden == 7).any())
    ask_nothing(model, STEP)
    assert model(batch).hidden is model(batch).attention is None


def test_it_trains_in_two_stages_and_the_map_is_not_counted(executor, toy_job):
    job = toy_job("tinybert", intermediate_epochs=3, intermediate_lr=5e-3)
    record = executor.ensure_trained(job).record()
    history = record["history"]
    assert [epoch["stage"] for epoch in history] == ["intermediate"] * 3 + ["prediction"] * 2
    assert history[2]["hidden"] < history[0]["hidden"] and "attention" in history[0]
    model = executor.model(job)
    assert isinstance(model, TinybertModel)
    assert record["parameters"] == sum(
        weight.numel() for name, weight in weights_of(model).items() if not name.startswith("projection.")
    )
    counted = build_skeleton(job)
    assert counted.parameter_count() == record["parameters"]


def test_a_student_of_full_width_learns_the_toy_task(executor, toy_job):
    trace = executor.ensure_trace(toy_job("tinybert", form="tinybert6", intermediate_epochs=2, epochs=6))
    assert float((trace.answers()[0] == trace.labels).float().mean()) > 0.8


def test_stage_one_leaves_the_head_and_stage_two_the_map():
    one, two = TINYBERT.stages(TinybertOptions())
    model = toy_model()
    names = [name for name, _ in model.named_parameters()]
    assert {name.split(".")[0] for name in names if one.trains(name, model)} == {"backbone", "projection"}
    assert {name.split(".")[0] for name in names if two.trains(name, model)} == {"backbone", "heads"}
    assert [stage.name for stage in TINYBERT.stages(TinybertOptions(intermediate_epochs=0))] == ["prediction"]


class Stopped(Exception):
    pass


@pytest.mark.parametrize("step", [9, 20])
def test_a_stopped_run_goes_on_in_the_stage_it_was_in(tmp_path, toy_job, step):
    def stop(moment):
        if moment.done == step:
            raise Stopped

    job = toy_job("tinybert", intermediate_epochs=2)
    broken, whole = (Executor(Store(tmp_path / name), torch.device("cpu")) for name in ("broken", "whole"))
    broken.ensure_trained(job.needs["teacher"])
    with pytest.raises(Stopped):
        broken.ensure_trained(job, stop)
    paths = [executor.ensure_trained(job).model_path for executor in (broken, whole)]
    assert checksum(paths[0]) == checksum(paths[1])


def test_rows_of_the_two_forms_have_names_of_their_own():
    options = [TinybertOptions(form=form) for form in ("tinybert4", "tinybert6")]
    assert [TINYBERT.label(each) for each in options] == ["tinybert4", "tinybert6"]
    assert [TINYBERT.heading(each) for each in options] == ["TinyBERT4", "TinyBERT6"]
