"""Predictions: the same as replay, the same one at a time, in order, with the cost that sweeps count."""

import math
from itertools import islice

import numpy as np
import pytest
import torch

import eebench
from eebench.cost.components import model_cost
from eebench.cost.conventions import convention
from eebench.cost.paths import skipping_flops
from eebench.engine.execute import build_skeleton
from eebench.errors import UserError
from eebench.predict import LONGEST_STRETCH, Asked, Choice, load_run, named_setting
from eebench.rules.catalogue import find_rule
from eebench.runtime import Execution
from eebench.text_rows import rows_of
from eebench.toy import toy_data
from eebench.trace import trace_model

CPU = torch.device("cpu")
ONE_BY_ONE = Execution("sequential", 1)


@pytest.fixture
def load(executor, toy_job):
    """`load("joint")` is that method, trained and traced on the toy task, ready to answer."""

    def make(method, **options):
        job = toy_job(method, **options)
        executor.ensure_trace(job)
        return load_run(executor.run(job).directory)

    return make


@pytest.fixture
def texts():
    return [text for (text,) in toy_data().splits["dev"].texts]


@pytest.fixture
def settings():
    """A setting of a rule that lets about half of the texts leave at the first of two exits."""

    def choose(predictor, name="entropy"):
        rule = find_rule(name)
        criterion = rule.criterion(1, predictor.trained.dev_trace().signals(0, slice(None)), {})
        return rule.setting(float(criterion.median()) + 1e-4)

    return choose


def test_answers_are_those_of_the_trace(load, texts, settings):
    predictor = load("joint")
    trace = predictor.trained.dev_trace()
    answers = predictor.predict(texts, rule="entropy", setting=settings(predictor))
    assert [answer.row for answer in answers] == list(range(1, 49))
    assert {answer.exit_layer for answer in answers} == {1, 2}
    for row, answer in enumerate(answers):
        logits = trace.logits[answer.exit_layer - 1, row]
        assert answer.label == ("negative", "positive")[int(logits.argmax())]
        assert answer.confidence == pytest.approx(float(torch.softmax(logits, 0).max()), abs=1e-5)
        assert answer.executed_layers == answer.exit_layer and not answer.truncated and not answer.error


@pytest.mark.parametrize("method", ["joint", "smartbert", "cascade"])
@pytest.mark.parametrize(
    "how", [Execution("compact", 8), Execution("pooled", 8)], ids=lambda how: how.executor
)
def test_answers_are_the_same_one_at_a_time(load, texts, settings, method, how):
    predictor = load(method, **({"members": [1, 2], "folds": 2} if method == "cascade" else {}))
    setting = settings(predictor)
    together = predictor.predict(texts, rule="entropy", setting=setting, how=how)
    alone = predictor.predict(texts, rule="entropy", setting=setting, how=ONE_BY_ONE)
    for one, other in zip(together, alone, strict=True):
        assert one.confidence == pytest.approx(other.confidence, abs=1e-5)
        assert (one.label, one.exit_layer, one.mflops) == (other.label, other.exit_layer, other.mflops)


def test_the_cost_is_that_of_the_texts_own_length(load):
    (answer,) = load("joint").predict(["good film"], rule="budgeted", setting="exit=1")
    # 4 tokens, width 32: a layer has 4 * 32^2 + 2 * 32 * 64 weights and 2 * 4 * 32 MACs of attention per token;
    # the exit takes the mean over tokens, then a pooler and the classifier.
    macs = 4 * (4 * 32 * 32 + 2 * 32 * 64) + 2 * 4 * 4 * 32
    head = 4 * 32 + 32 * 32 + 32 * 2
    assert answer.mflops == pytest.approx(2 * (macs + head) / 1e6, rel=1e-9)


@pytest.mark.parametrize("rule", ["entropy", "budgeted"])
def test_the_cost_of_skipped_layers_is_what_a_sweep_counts(load, texts, settings, rule):
    predictor = load("smartbert", gate_threshold=0.5)
    second = predictor.trained.dev_trace().gates[1].sort().values
    predictor.model.gate_threshold = float(second[23:25].mean())  # the last layer runs for half of the texts
    encoded = predictor.encode([(text,) for text in texts])
    executed = trace_model(predictor.model, encoded, np.zeros(48, dtype=np.int64), CPU).executed.numpy()
    assert 0 < executed[-1].sum() < 48
    chosen = named_setting(rule, settings(predictor) if rule == "entropy" else "exit=2")
    answers = list(predictor.stream(rows_of(texts), Choice(*chosen), Execution("compact", 8)))
    cost = model_cost(build_skeleton(predictor.job))
    expected = skipping_flops(
        cost, executed, encoded.lengths, convention("full_2mac"), find_rule(rule).evaluates
    )
    for row, answer in enumerate(answers):
        assert answer.executed_layers == executed[: answer.exit_layer, row].sum()
        assert answer.mflops == pytest.approx(expected[answer.exit_layer - 1, row] / 1e6, rel=1e-12)


def test_rows_without_a_text_are_answered_in_their_place(load):
    answers = load("joint").predict(["", "good", " ", "bad film", ""])
    assert [(answer.row, answer.error, bool(answer.label)) for answer in answers] == [
        (1, "the text is empty", False), (2, "", True), (3, "the text is empty", False), (4, "", True),
        (5, "the text is empty", False),
    ]  # fmt: skip
    assert answers[0].confidence is None and answers[0].mflops is None
    assert load("joint").predict([]) == []


def test_long_texts_are_cut_and_told(load):
    predictor = load("joint")  # 16 tokens: the start, 14 words and the end
    fits, cut = predictor.predict(["good " * 14, "good " * 15])
    assert (fits.truncated, cut.truncated) == (False, True)
    assert fits.mflops == cut.mflops and fits.label == cut.label


def test_a_stream_is_read_no_further_than_it_has_to_be(load):
    read = []

    def endless():
        for number in range(10**9):
            read.append(number)
            yield "good film" if number % 3 else ""

    predictor = load("joint")
    choice = predictor.choose(Asked())
    rows = predictor.stream(rows_of(endless()), choice, Execution("compact", 1))
    assert [answer.row for answer in islice(rows, 4)] == [1, 2, 3, 4]
    assert len(read) <= 5  # one at a time answers before the next is read
    read.clear()
    rows = predictor.stream(rows_of(endless()), choice, Execution("compact", 4))
    assert [answer.row for answer in islice(rows, 300)] == list(range(1, 301))
    assert len(read) < 2000


def test_a_long_stretch_without_texts_does_not_wait_in_memory(load):
    read = []

    def blank():
        for number in range(5 * LONGEST_STRETCH):
            read.append(number)
            yield ""
        yield "good"

    predictor = load("joint")
    rows = predictor.stream(rows_of(blank()), predictor.choose(Asked()), Execution("compact", 4))
    assert next(rows).error and len(read) < 2 * LONGEST_STRETCH
    rest = list(rows)
    assert len(rest) == 5 * LONGEST_STRETCH and rest[-1].label and not rest[-1].error


def test_without_a_setting_all_layers_run(load, texts):
    predictor = load("joint")
    choice = predictor.choose(Asked())
    assert choice.text == "budgeted exit=2"
    assert {answer.exit_layer for answer in predictor.predict(texts[:5])} == {2}


def test_a_speedup_takes_the_slowest_setting_that_is_fast_enough(load):
    predictor = load("joint")
    exits = {layer: predictor.choose(Asked("budgeted", f"exit={layer}")) for layer in (1, 2)}
    assert exits[1].speedup_flops > 1.5 > exits[2].speedup_flops
    assert predictor.choose(Asked("budgeted", speedup=1.5)).setting_text == "exit=1"
    trace = predictor.trained.dev_trace()
    right = (trace.answers()[0] == trace.labels).float().mean()
    assert predictor.choose(Asked("budgeted", speedup=1.5)).score == pytest.approx(float(right))
    grid = find_rule("entropy").grid(trace.geometry)
    named = [predictor.choose(Asked("entropy", f"S={value}")) for value in grid]
    wish = sorted(choice.speedup_flops for choice in named)[len(named) // 2]
    chosen = predictor.choose(Asked("entropy", speedup=wish))
    assert chosen.speedup_flops == min(c.speedup_flops for c in named if c.speedup_flops >= wish - 1e-12)
    with pytest.raises(
        UserError, match=r"no setting of entropy is 99x on dev; the fastest is S=.* at .*x\.  Ask"
    ):
        predictor.choose(Asked("entropy", speedup=99.0))


def test_mistakes_name_what_works(load):
    predictor = load("joint")
    with pytest.raises(
        UserError, match=r"needs the signal 'score', which this model has not; rules that work here: b"
    ):
        predictor.choose(Asked("learned", "certainty=0.9"))
    with pytest.raises(
        UserError, match=r"--rule patience needs a setting: --setting patience=\.\.\., or --speedup 2x"
    ):
        predictor.choose(Asked("patience"))
    with pytest.raises(UserError, match=r"patience: patience=0 is outside 1\.\.2"):
        predictor.choose(Asked("patience", "patience=0"))
    with pytest.raises(UserError, match="unknown rule 'entropi' in --rule; did you mean 'entropy'"):
        predictor.choose(Asked("entropi", "S=1"))
    with pytest.raises(UserError, match="--setting and --speedup say the same thing twice"):
        Asked("entropy", "S=1", 2.0)
    with pytest.raises(
        UserError, match="task toy has sentence, the input 2 text a row; name 1 column of a csv"
    ):
        predictor.check_texts(2)
    predictor.check_texts(1)
    (predictor.trained.run.directory / "trace-dev.json").unlink()
    with pytest.raises(
        UserError, match="has no trace of dev to choose a setting from; name one with --setting"
    ):
        load_run(predictor.trained.run.directory).choose(Asked(speedup=2.0))
    assert load_run(predictor.trained.run.directory).choose(Asked("entropy", "S=0.3")).score is None


def test_settings_as_text():
    rule, threshold = named_setting("patient-confident", "t=3;tau=0.4")
    assert (rule.knobs, threshold) == ({"t": 3.0}, 0.4)
    assert named_setting("patient-confident;t=4", "tau=0.4")[0].knobs == {"t": 4.0}
    with pytest.raises(
        UserError, match=r"--setting tau=0\.3: rule 'entropy' needs its S: --setting S=\.\.\."
    ):
        named_setting("entropy", "tau=0.3")


def test_scores_of_a_regression_are_labels_without_confidence(load):
    predictor = load("joint")
    assert predictor.label(torch.tensor([2.3456789])) == ("2.34568", None)
    assert predictor.label(torch.tensor([0.0, math.log(3)])) == ("positive", pytest.approx(0.75))


def test_html_breaks_go_where_training_removed_them(load):
    predictor = load("joint")
    assert np.array_equal(predictor.encode([("good<br/>bad",)]).lengths, [3])
    object.__setattr__(predictor.job.task, "html_breaks", True)
    assert np.array_equal(predictor.encode([("good<br/>bad",)]).lengths, [4])


def test_it_is_a_call_of_the_package(load, executor):
    assert eebench.load_run is load_run
    predictor = load("joint")
    found = eebench.load_run(predictor.trained.name, runs=executor.store.root)
    assert found.predict(["good"]) == predictor.predict(["good"])
    with pytest.raises(AttributeError, match="no attribute 'load_runs'"):
        eebench.load_runs  # noqa: B018


def test_breaks_in_the_html_do_not_count_as_tokens_that_were_cut(load):
    predictor = load("joint")
    object.__setattr__(predictor.job.task, "html_breaks", True)
    predictor.max_length = 5
    (whole,) = predictor.predict(["good <br /> film <br /> today"])
    (cut,) = predictor.predict(["good <br /> film <br /> today again"])
    assert (whole.truncated, cut.truncated) == (False, True)


def test_a_text_alone_and_texts_of_another_number_are_mistakes(load):
    predictor = load("joint")
    with pytest.raises(
        UserError, match=r"predict takes a list of texts, not a text; write predict\(\[text\]\)"
    ):
        predictor.predict("a good film")
    with pytest.raises(UserError, match="text 2 has 2 parts, task .* has .*; write a string"):
        predictor.predict(["good", ("good", "bad")])
