import math

import numpy as np
import pytest
import torch

from eebench.losses import exit_losses
from eebench.methods.berxit import BerxitOptions, alternating_loss, score_loss
from eebench.methods.catalogue import find_method
from eebench.model import Outputs
from eebench.replay import exit_indices
from eebench.rules.catalogue import find_rule
from eebench.runtime import sequential
from eebench.training.stages import Step


def outputs():
    torch.manual_seed(0)
    return Outputs(torch.randn(3, 4, 2), torch.rand(3, 4)), torch.randint(0, 2, (4,))


def test_the_certainty_is_trained_to_say_whether_the_answer_is_right():
    logits = torch.tensor([[[2.0, 0.0], [2.0, 0.0]]])
    loss = score_loss(Outputs(logits, torch.tensor([[0.8, 0.4]])), torch.tensor([0, 1]))
    assert float(loss) == pytest.approx((0.2**2 + 0.4**2) / 2)


def test_for_regression_it_follows_the_distance():
    loss = score_loss(Outputs(torch.tensor([[[3.0]]]), torch.tensor([[0.0]])), torch.tensor([2.0]))
    assert float(loss) == pytest.approx((1 - math.tanh(1.0)) ** 2, abs=1e-6)


def test_even_steps_train_the_last_exit_and_odd_steps_all():
    seen, labels = outputs()
    each = exit_losses(seen.logits, labels)
    plain = BerxitOptions(learn_score=False)

    def loss(number, options):
        return float(alternating_loss(seen, labels, Step(number, np.arange(4)), options)["loss"])

    assert loss(0, plain) == pytest.approx(float(each[-1]))
    assert loss(1, plain) == pytest.approx(float(each.sum()), rel=1e-6)
    without = BerxitOptions(learn_score=False, joint_with_last=False)
    assert loss(1, without) == pytest.approx(float(each[:-1].sum()), rel=1e-6)
    scored = float(score_loss(seen, labels))
    assert loss(2, BerxitOptions()) == pytest.approx(float(each[-1]) + scored, rel=1e-6)


def test_the_learned_rule_replays_as_it_leaves(executor, toy_job):
    job = toy_job("berxit")
    trace = executor.ensure_trace(job)
    assert trace.kinds == {"logits", "score"} and trace.scores.shape == trace.logits.shape[:2]
    assert torch.equal(executor.ensure_trace(job).scores, trace.scores)  # from disk
    rule = find_rule("learned")
    threshold = float(trace.scores[0].median()) + 1e-3
    replayed = exit_indices(rule, trace, [threshold])[0]
    encoded = executor.examples(job, "dev").encoded
    left = [
        one.exit_index for one in sequential(executor.model(job), rule, threshold, encoded, executor.device)
    ]
    assert replayed.tolist() == left and len(set(left)) == 2


def test_one_scorer_is_shared_by_all_exits(toy_job):
    from eebench.engine.execute import build

    with_score, without = build(toy_job("berxit")), build(toy_job("berxit", learn_score=False))
    assert with_score.parameter_count() - without.parameter_count() == 32 + 1
    assert find_method("berxit").default_rule == "learned"
