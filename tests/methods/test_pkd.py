import math

import numpy as np
import pytest
import torch

from eebench.backbones.checkpoints import load_backbone
from eebench.distillation import Lesson, TaughtOutputs
from eebench.errors import UserError
from eebench.methods.catalogue import find_method
from eebench.methods.pkd import PkdOptions, patient_layers, pkd_loss
from eebench.tasks.specs import TaskSpec
from eebench.training.stages import Step

STEP = Step(0, np.arange(1))
MASK = torch.tensor([[True]])


def log(*rows):
    """Logits [1, 1, C] with these probabilities."""
    return torch.tensor([[*rows]]).log()[None]


def test_the_papers_layers():
    assert patient_layers(6, 12, "skip") == (2, 4, 6, 8, 10)
    assert patient_layers(6, 12, "last") == (7, 8, 9, 10, 11)
    assert patient_layers(3, 12, "skip") == (4, 8)
    assert patient_layers(3, 12, "last") == (10, 11)
    assert patient_layers(1, 2, "skip") == patient_layers(1, 2, "last") == ()


def test_loss_by_hand():
    outputs = TaughtOutputs(log(0.8, 0.2), mask=MASK, teacher=Lesson(log(0.5, 0.5)))
    options = PkdOptions(alpha=0.25, temperature=2.0)
    # At T = 2 the student's odds of 4 are 2.
    soft = 4 * (0.5 * math.log(0.5 / (2 / 3)) + 0.5 * math.log(0.5 / (1 / 3)))
    terms = pkd_loss(outputs, torch.tensor([1]), STEP, options)
    assert float(terms["loss"]) == pytest.approx(0.25 * soft / 2 - 0.75 * math.log(0.2), abs=1e-6)
    terms = pkd_loss(
        outputs, torch.tensor([1]), STEP, options.model_copy(update={"divergence_mean": "batch"})
    )
    assert float(terms["loss"]) == pytest.approx(0.25 * soft - 0.75 * math.log(0.2), abs=1e-6)


def patient(layer_map, **options):
    """The patient loss of a student of two layers whose teacher has four; index 0 is the embeddings."""
    student = torch.tensor([[9.0, 9.0], [3.0, 4.0], [9.0, 9.0]]).view(3, 1, 2)
    teacher = torch.tensor([[9.0, 9.0], [9.0, 9.0], [0.0, 2.0], [5.0, 0.0], [9.0, 9.0]]).view(5, 1, 2)
    logits = log(0.5, 0.5)
    outputs = TaughtOutputs(
        logits, mask=MASK, pooled=student, teacher=Lesson(logits, hidden=None, pooled=teacher)
    )
    terms = pkd_loss(
        outputs, torch.tensor([0]), STEP, PkdOptions(alpha=1.0, beta=10.0, layer_map=layer_map, **options)
    )
    assert float(terms["loss"]) == pytest.approx(10 * float(terms["patient"]))
    return float(terms["patient"])


def test_the_first_layer_follows_its_teacher_by_hand():
    # (3, 4) / 5 against (0, 1), the second layer of four, and against (1, 0), the third.
    assert patient("skip") == pytest.approx((0.36 + 0.04) / 2)
    assert patient("last") == pytest.approx((0.16 + 0.64) / 2)
    assert patient("skip", patient_reduction="sum") == pytest.approx(0.40)
    assert patient("skip", normalised=False) == pytest.approx((9 + 4) / 2)


def asked(depth, **options):
    method = find_method("pkd")
    return method.build(load_backbone("toy", depth), 2, method.options_type(**options)).asked.pooled


def test_the_vector_followed_is_what_the_exit_reads():
    assert asked(2) == "mean"  # the toy backbone is read so; BERT by [CLS]
    assert asked(2, vector="cls") == asked(2, head={"pooling": "cls"}) == "cls"
    assert asked(2, beta=0.0) is asked(1) is None


def test_the_default_student_has_the_papers_size():
    from transformers import BertConfig

    from eebench.backbones.architectures import ARCHITECTURES

    method = find_method("pkd")
    backbone = ARCHITECTURES["bert"].skeleton(BertConfig(num_hidden_layers=6))
    with torch.device("meta"):
        model = method.build(backbone, 2, method.options_type())
    assert model.parameter_count() - 1538 == 66_955_008


def test_it_learns_the_toy_task_and_follows_on_the_way(executor, toy_job):
    job = toy_job("pkd", layers=2, epochs=6)
    trace = executor.ensure_trace(job)
    assert trace.exit_layers == (2,)
    assert float((trace.answers()[0] == trace.labels).float().mean()) > 0.8
    history = executor.run(job).record()["history"]
    assert history[-1]["patient"] < 0.5 * history[0]["patient"]


def test_a_student_of_one_layer_trains_without_the_patient_loss(executor, toy_job):
    record = executor.ensure_trained(toy_job("pkd", epochs=1)).record()
    assert "patient" not in record["history"][0] and record["exit_layers"] == [1]


def test_regression_is_refused():
    from eebench.plan import Planner

    method = find_method("pkd")
    task = TaskSpec("degrees", "toy", ("sentence",), (), ("pearson",), max_length=16)
    with pytest.raises(UserError, match="'pkd' is not defined for regression"):
        Planner(None, "fp32").job(method, method.options_type(), "toy", task, 1)
