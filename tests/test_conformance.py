"""The conformance suite over all methods, and over models that break each of its rules."""

import math
from dataclasses import replace

import pytest
import torch

from eebench.conformance import (
    CHECKS,
    Failure,
    Result,
    Skipped,
    check_batches,
    check_cost,
    check_extremes,
    check_monotone,
    check_replay,
    check_resume,
    conform,
    failed,
    result,
    run_subject,
    toy_subject,
)
from eebench.gates import GatedModel
from eebench.methods.catalogue import BUILT_IN, find_method
from eebench.methods.joint import Joint
from eebench.model import MultiExitModel
from eebench.rules.confidence import Entropy
from eebench.trained import open_run

# The assistant that COST-EFF needs is trained, and checked, on its own as well.
ALL = [method.name for method in BUILT_IN]


@pytest.mark.parametrize("name", ALL)
def test_every_method_conforms(name, tmp_path):
    results = list(conform(toy_subject(find_method(name), {}, tmp_path)))
    assert [one for one in results if one.status == "failed"] == []
    assert {one.check for one in results} == set(CHECKS)
    assert sum(one.status == "passed" for one in results) >= 7


@pytest.fixture
def subject(tmp_path):
    return toy_subject(find_method("joint"), {}, tmp_path)


def test_a_trained_run_is_checked_without_its_data(tmp_path):
    trained = toy_subject(find_method("berxit"), {}, tmp_path)
    run = trained.retrain.run(trained.job)
    found = list(conform(run_subject(open_run(run.directory))))
    assert failed(found) == 0
    assert found[-1] == Result(
        "resume after a kill", "skipped", "needs a method to train: `eebench check METHOD`"
    )
    pairs = open_run(run.directory)
    task = replace(pairs.job.task, text_columns=("a", "b"))
    subject = run_subject(replace(pairs, job=replace(pairs.job, task=task)))
    assert subject.encoded.segments.max() == 1


class Unequal(MultiExitModel):
    """Normalises over the batch: what a text is answered depends on its company."""

    def classify(self, layer, state):
        logits = super().classify(layer, state)
        return logits - logits.mean(dim=0, keepdim=True) if len(logits) > 1 else logits


class Dearer(MultiExitModel):
    """Does more in a pass than its parts say."""

    def forward(self, batch, kinds=frozenset({"logits", "score"})):
        outputs = super().forward(batch, kinds)
        hidden = self.backbone.embed(batch).hidden
        return replace(outputs, logits=outputs.logits + 0 * (hidden @ hidden.transpose(1, 2)).mean())


class Forgetful(MultiExitModel):
    """Leaves early by other answers than it traces."""

    def observe(self, layer, state, kinds, before):
        signals, gram = super().observe(layer, state, kinds, before)
        return replace(signals, logits=None if signals.logits is None else -signals.logits), gram

    def forward(self, batch, kinds=frozenset({"logits", "score"})):
        outputs = super().forward(batch, kinds)
        return replace(outputs, logits=-outputs.logits)


def as_kind(subject, kind):
    """The subject with its model made into another kind."""
    subject.model.__class__ = kind
    return subject


@pytest.mark.parametrize(
    ("kind", "check", "reason"),
    [
        (Unequal, check_batches, "the logits of text 0 alone differ by"),
        (Dearer, check_cost, r"matmul: [\d,]+ MACs at 100 tokens, its parts have [\d,]+"),
        (
            Forgetful,
            lambda subject: check_replay(subject, "compact"),
            "at .*: text .* is answered|leaves at exit",
        ),
    ],
)
def test_a_broken_model_is_found_out(subject, kind, check, reason):
    with pytest.raises(Failure, match=reason):
        check(as_kind(subject, kind))


class Hasty(Entropy):
    """Claims that its strictest threshold lets nothing go."""

    def bounds(self, geometry):
        return math.inf, math.inf


class Slow(Entropy):
    """Claims that its loosest threshold lets everything go."""

    def bounds(self, geometry):
        return 0.0, 0.0


@pytest.mark.parametrize(("rule", "layer"), [(Hasty, "layer 1, not at 2"), (Slow, "layer 2, not at 1")])
def test_thresholds_that_do_not_reach_the_ends_are_found_out(subject, rule, layer):
    object.__setattr__(subject, "rules", [rule()])
    with pytest.raises(Failure, match=f"entropy: text 0 leaves at {layer}"):
        check_extremes(subject)


def test_a_cost_that_rises_with_looseness_is_found_out(subject):
    layer = subject.cost.layers[1]
    object.__setattr__(subject, "cost", replace(subject.cost, layers=(subject.cost.layers[0], layer * -1)))
    with pytest.raises(Failure, match=r"budgeted: exit=1 costs more than the stricter exit=2"):
        check_monotone(subject)


class Unrepeatable(Joint):
    """Trains otherwise every time."""

    name = "unrepeatable"

    def initialise(self, model, needed):
        with torch.no_grad():
            for parameter in model.heads.parameters():
                parameter.add_(float(Unrepeatable.times))
        Unrepeatable.times += 1

    times = 0


def test_training_that_does_not_repeat_itself_is_found_out(tmp_path):
    with pytest.raises(Failure, match="the weights differ when stopped at step 3 of 4"):
        check_resume(toy_subject(Unrepeatable(), {}, tmp_path))


def test_a_check_that_cannot_run_fails_alone(subject):
    def broken(subject):
        raise ZeroDivisionError("by zero")

    def absent(subject):
        raise Skipped("not here")

    found = list(conform(subject, {"a": broken, "b": absent, "c": check_extremes}))
    assert found == [
        Result("a", "failed", "ZeroDivisionError: by zero"), Result("b", "skipped", "not here"), Result("c", "passed"),
    ]  # fmt: skip
    assert failed(found) == 1
    assert result("d", check_resume, replace(subject, retrain=None)).status == "skipped"


def test_gates_are_as_they_were_afterwards(tmp_path):
    subject = toy_subject(find_method("smartbert"), {"gate_threshold": 0.4}, tmp_path)
    assert isinstance(subject.model, GatedModel)
    check_cost(subject)
    assert subject.model.gate_threshold == 0.4
