import math

import numpy as np
import pytest
import torch

from eebench.distillation import Lesson, TaughtOutputs
from eebench.methods.catalogue import find_method
from eebench.methods.distilbert import DistilbertOptions, distilbert_loss, spread
from eebench.training.stages import Step

STEP = Step(0, np.arange(1))
MASK = torch.tensor([[True]])


def log(*rows):
    """Logits [1, 1, C] with these probabilities."""
    return torch.tensor([[*rows]]).log()[None]


def test_the_released_choice_of_layers():
    assert spread(6, 12) == (1, 3, 5, 8, 10, 12)
    assert spread(1, 12) == (1,)
    assert spread(12, 12) == tuple(range(1, 13))


def test_loss_by_hand():
    outputs = TaughtOutputs(log(0.8, 0.2), mask=MASK, teacher=Lesson(log(0.5, 0.5)))
    terms = distilbert_loss(outputs, torch.tensor([1]), STEP, DistilbertOptions(alpha=0.25))
    # At T = 2 the student's odds of 4 are 2.
    soft = 4 * (0.5 * math.log(0.5 / (2 / 3)) + 0.5 * math.log(0.5 / (1 / 3)))
    assert float(terms["loss"]) == pytest.approx(0.25 * soft - 0.75 * math.log(0.2), abs=1e-6)


def test_hidden_states_count_where_weighted():
    """The only layer learns from the last of the teacher's three, the embeddings from the embeddings."""
    student = torch.tensor([[1.0, 0.0], [2.0, 0.0]]).view(2, 1, 1, 2)
    teacher = torch.tensor([[1.0, 1.0], [9.0, 9.0], [9.0, 9.0], [0.0, 1.0]]).view(4, 1, 1, 2)
    logits = log(0.5, 0.5)
    outputs = TaughtOutputs(logits, mask=MASK, teacher=Lesson(logits, teacher), hidden=student)
    options = DistilbertOptions(alpha=1.0, cosine_weight=2.0, hidden_weight=3.0)
    terms = distilbert_loss(outputs, torch.tensor([0]), STEP, options)
    assert float(terms["cosine"]) == pytest.approx(1.0)
    assert float(terms["hidden"]) == pytest.approx((0 + 1) / 2 + (4 + 1) / 2)
    assert float(terms["loss"]) == pytest.approx(2 * 1.0 + 3 * 3.0)


def test_it_starts_from_its_teacher_and_learns_the_toy_task(executor, toy_job):
    job = toy_job("distilbert", epochs=6, cosine_weight=1.0)
    trace = executor.ensure_trace(job)
    assert trace.exit_layers == (1,)
    assert float((trace.answers()[0] == trace.labels).float().mean()) > 0.8
    assert {"soft", "hard", "cosine"} <= executor.run(job).record()["history"][0].keys()


def test_hidden_states_are_computed_only_where_weighted(toy_job):
    from eebench.backbones.checkpoints import load_backbone

    method = find_method("distilbert")
    asked = [
        method.build(load_backbone("toy", 1), 2, method.options_type(hidden_weight=weight)).asked.hidden
        for weight in (0.0, 1.0)
    ]
    assert asked == [False, True]


def test_first_pretrained_layers_on_request():
    from eebench.backbones.checkpoints import load_backbone

    method = find_method("distilbert")
    starts = [
        method.build(load_backbone("toy", 1), 2, method.options_type(init=init)).inherits
        for init in ("teacher", "pretrained")
    ]
    assert starts == [spread, None]
