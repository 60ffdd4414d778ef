from dataclasses import replace

import torch

from eebench.trace import Trace
from eebench.training.evaluation import exit_scores, mean_over_scored, scored


def test_each_exit_is_scored_on_its_own():
    logits = torch.tensor([[[1.0, 0.0], [1.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]]])
    trace = Trace((1, 2), logits, torch.tensor([0, 1]), torch.tensor([3, 3]), torch.arange(2))
    assert exit_scores(trace, "accuracy") == [0.5, 1.0]


def test_a_sample_that_skipped_every_layer_is_not_scored_before_the_last_exit():
    """Three layers, four samples; an exit that nobody reached says class 0, as logits of zero do."""
    executed = torch.tensor([[True, False, False, False], [False, True, False, False], [False] * 4])
    answers = torch.tensor([[0, 0, 0, 0], [0, 1, 0, 0], [0, 1, 1, 0]])
    logits = torch.nn.functional.one_hot(answers, 2).float()
    labels = torch.tensor([0, 0, 0, 0])
    trace = Trace((1, 2, 3), logits, labels, torch.full((4,), 3), torch.arange(4), executed=executed)
    assert trace.answered.tolist() == [[True, False, False, False], [True, True, False, False], [True] * 4]
    # As class 0 those without an answer would all count as right: 1, 3/4.
    assert exit_scores(trace, "accuracy") == [1.0, 0.5, 0.5]
    nobody = replace(trace, executed=torch.zeros(3, 4, dtype=torch.bool))
    assert exit_scores(nobody, "accuracy") == [None, None, 0.5]
    assert (scored([None, 0.25, 0.75]), mean_over_scored([None, 0.25, 0.75])) == ([0.25, 0.75], 0.5)
    assert replace(trace, executed=None).answered.all()
