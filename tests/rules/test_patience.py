import math

import pytest
import torch

from eebench.errors import UserError
from eebench.rules.base import Geometry, Signals
from eebench.rules.patience import Patience, PatientConfident, ScorePatience

CPU = torch.device("cpu")


def counts(labels):
    """The counter after each exit for one sample that predicts `labels`."""
    rule = Patience()
    state = rule.start(1, CPU)
    shown = []
    for layer, label in enumerate(labels, start=1):
        logits = torch.nn.functional.one_hot(torch.tensor([label]), 3).float()
        shown.append(int(rule.criterion(layer, Signals(logits), state)))
    return shown


def test_constant_answers_leave_at_patience_plus_one():
    assert counts([1, 1, 1, 1]) == [0, 1, 2, 3]  # patience 3 is reached at exit 4


def test_a_change_starts_the_count_again():
    assert counts([0, 0, 1, 1, 1, 0]) == [0, 1, 0, 1, 2, 0]


def test_alternating_answers_never_leave():
    assert max(counts([0, 1] * 6)) == 0


def test_grid_has_every_patience_that_can_be_reached():
    assert Patience().grid(Geometry(tuple(range(1, 13)), 2)) == [float(t) for t in range(11, 0, -1)]


def sure(probability):
    """Logits [1, 2] whose larger probability is the one given."""
    return Signals(torch.tensor([[probability, 1 - probability]]).log())


def confident_exit(rule, probabilities, tau):
    """The first exit (1-based) at which PCEE lets the sample go, None if never."""
    state = rule.start(1, CPU)
    for layer, probability in enumerate(probabilities, start=1):
        if bool(rule.leaves(rule.criterion(layer, sure(probability), state), tau)):
            return layer
    return None


def test_pcee_always_confident_leaves_at_t():
    for t in (1, 2, 3, 4):
        assert confident_exit(PatientConfident(t=t), [0.99] * 6, 0.5) == t


def counted_exit(t, probabilities, tau):
    """PCEE as the paper counts: one more at a confident exit, zero again at an unsure one."""
    count = 0
    for layer, p in enumerate(probabilities, start=1):
        entropy = -(p * math.log(p) + (1 - p) * math.log(1 - p)) / math.log(2)
        count = count + 1 if entropy < tau else 0
        if count == t:
            return layer
    return None


def test_pcee_by_sliding_window_equals_counting():
    generator = torch.Generator().manual_seed(0)
    for _ in range(200):
        probabilities = (0.5 + 0.499 * torch.rand(8, generator=generator)).tolist()
        for t in (1, 2, 3):
            assert confident_exit(PatientConfident(t=t), probabilities, 0.6) == counted_exit(
                t, probabilities, 0.6
            )


def test_score_patience_counts_close_scores():
    rule = ScorePatience(delta=0.5)
    state = rule.start(1, CPU)
    scores = [1.0, 1.4, 2.0, 2.1, 2.2]
    shown = [int(rule.criterion(1, Signals(torch.tensor([[score]])), state)) for score in scores]
    assert shown == [0, 1, 0, 1, 2]


def test_settings_name_all_knobs_and_unknown_ones_are_refused():
    assert PatientConfident(t=3).setting(0.4) == "t=3;tau=0.4"
    with pytest.raises(UserError, match="rule 'patient-confident' has no knob 'theta'; it has t"):
        PatientConfident(theta=1)
