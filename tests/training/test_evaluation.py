import torch

from eebench.trace import Trace
from eebench.training.evaluation import exit_scores


def test_each_exit_is_scored_on_its_own():
    logits = torch.tensor([[[1.0, 0.0], [1.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]]])
    trace = Trace((1, 2), logits, torch.tensor([0, 1]), torch.tensor([3, 3]), torch.arange(2))
    assert exit_scores(trace, "accuracy") == [0.5, 1.0]
