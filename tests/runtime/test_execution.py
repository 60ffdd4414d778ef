import numpy as np
import pytest
import torch
from torch import nn

from eebench.backbones.tokens import Encoded, load_tokenizer
from eebench.errors import UserError
from eebench.replay import exit_indices, near_threshold
from eebench.rules.catalogue import find_rule
from eebench.runtime import Execution, execute, leave_early, sequential
from eebench.runtime.execution import in_order
from eebench.toy import toy_data

CPU = torch.device("cpu")
WAYS = [Execution("sequential", 1), Execution("compact", 8), Execution("pooled", 8)]
KINDS = ["bert", "mpnet", "albert", "distilbert", "slender", "gated", "cascade"]


def disagreements(model, trace, rule, threshold, lefts):
    """Rows, not near a threshold, whose exit or answer is not the replay's; and how many are near one."""
    exits, near = exit_indices(rule, trace, [threshold])[0], near_threshold(rule, trace, threshold)
    answers = trace.answers()
    wrong = []
    for row, left in enumerate(lefts):
        answer = left.logits.argmax() if trace.logits.shape[2] > 1 else left.logits[0]
        alike = torch.isclose(answer.float(), answers[left.exit_index, row].float(), atol=1e-4)
        if not near[row] and not (left.exit_index == exits[row] and alike):
            wrong.append(row)
    return wrong, int(near.sum())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("how", WAYS, ids=lambda how: how.executor)
def test_every_rule_leaves_as_replay_says(model_of, encoded, trace_of, rules_for, kind, how):
    model = model_of(kind)
    trace = trace_of(model)
    chosen = rules_for(trace)
    assert len(chosen) >= 6
    for rule, threshold in chosen:
        lefts = list(execute(model, rule, threshold, encoded, how))
        wrong, near = disagreements(model, trace, rule, threshold, lefts)
        assert len(lefts) == 60 and not wrong, (rule.name, threshold)
        assert near < 6 or kind == "gated"  # a skipped layer has no logits, which patience takes for a tie
        # A rule that lets all rows go at once would prove nothing.
        assert rule.name == "budgeted" or len({left.exit_index for left in lefts}) > 1, rule.name
        assert all(left.layer == trace.exit_layers[left.exit_index] for left in lefts)


@pytest.mark.parametrize("how", WAYS, ids=lambda how: how.executor)
def test_regression_leaves_as_replay_says(model_of, encoded, trace_of, rules_for, how):
    model = model_of("bert", classes=1)
    trace = trace_of(model)
    chosen = rules_for(trace)
    assert "score-patience" in {rule.name for rule, _ in chosen}
    for rule, threshold in chosen:
        lefts = list(execute(model, rule, threshold, encoded, how))
        assert disagreements(model, trace, rule, threshold, lefts)[0] == []


@pytest.mark.parametrize("how", WAYS, ids=lambda how: how.executor)
def test_skipped_layers_are_not_counted(model_of, encoded, trace_of, how):
    model = model_of("gated")
    trace = trace_of(model)
    lefts = list(execute(model, find_rule("entropy"), 0.5, encoded, how))
    ran = trace.executed.cumsum(dim=0)
    expected = [int(ran[left.layer - 1, row]) for row, left in enumerate(lefts)]
    assert [left.executed for left in lefts] == expected
    assert any(left.executed < left.layer for left in lefts)
    plain = execute(model_of("bert"), find_rule("entropy"), 0.5, encoded, how)
    assert all(left.executed == left.layer for left in plain)


@pytest.mark.parametrize("kind", ["bert", "mpnet", "gated", "cascade"])
@pytest.mark.parametrize("executor", ["compact", "pooled"])
def test_company_and_order_change_nothing(model_of, encoded, kind, executor):
    model, rule = model_of(kind), find_rule("patience" if kind != "cascade" else "entropy")
    alone = list(sequential(model, rule, 1.0 if kind != "cascade" else 0.6, encoded, CPU))
    order = np.random.default_rng(1).permutation(len(encoded))
    shuffled = Encoded.joined([encoded.part(row, row + 1) for row in order])
    for size in (2, 7, 64):
        threshold = 1.0 if kind != "cascade" else 0.6
        lefts = list(execute(model, rule, threshold, shuffled, Execution(executor, size)))
        for row, left in zip(order, lefts, strict=True):
            assert (left.exit_index, left.executed) == (alone[row].exit_index, alone[row].executed)
            torch.testing.assert_close(left.logits, alone[row].logits, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("how", WAYS, ids=lambda how: how.executor)
def test_a_stream_in_pieces_gives_the_same_answers(model_of, encoded, how):
    model, rule = model_of("bert"), find_rule("entropy")
    whole = list(execute(model, rule, 0.5, encoded, how))
    pieces = (encoded.part(start, min(start + 7, 60)) for start in range(0, 60, 7))
    apart = list(execute(model, rule, 0.5, pieces, how))
    assert [left.exit_index for left in apart] == [left.exit_index for left in whole]
    for one, other in zip(apart, whole, strict=True):
        torch.testing.assert_close(one.logits, other.logits)


def test_answers_come_while_the_stream_is_read(model_of, encoded):
    read = []

    def stream():
        for row in range(60):
            read.append(row)
            yield encoded.part(row, row + 1)

    answers = sequential(model_of("bert"), find_rule("entropy"), 0.5, stream(), CPU)
    next(answers)
    assert read == [0]


def test_an_empty_stream_has_no_answers(model_of, encoded):
    for how in WAYS:
        assert list(execute(model_of("bert"), find_rule("entropy"), 0.5, encoded.part(0, 0), how)) == []
        assert list(execute(model_of("bert"), find_rule("entropy"), 0.5, [], how)) == []


def test_the_caller_s_modes_are_its_own_between_answers(model_of, encoded):
    before = torch.get_float32_matmul_precision()
    for left in execute(model_of("bert"), find_rule("entropy"), 0.5, encoded, Execution("compact", 8)):
        assert torch.is_grad_enabled() and not torch.is_inference_mode_enabled()
        assert not torch.is_autocast_enabled("cpu") and torch.get_float32_matmul_precision() == before
        assert left.logits.device == CPU


def test_autocast_answers_in_fp32_and_nearly_the_same(model_of, encoded):
    model, rule = model_of("bert"), find_rule("budgeted")
    exact = list(execute(model, rule, 3.0, encoded, Execution("pooled", 8)))
    cast = list(execute(model, rule, 3.0, encoded, Execution("pooled", 8, precision="bf16")))
    apart = [(one.logits - other.logits).abs().max() for one, other in zip(exact, cast, strict=True)]
    assert all(left.logits.dtype == torch.float32 for left in cast)
    assert 0 < max(apart) < 0.3


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("executor", ["compact", "pooled"])
def test_a_graphics_card_decides_alike(model_of, encoded, trace_of, rules_for, kind, executor):
    model = model_of(kind)
    trace = trace_of(model)
    card = torch.device("cuda")
    for rule, threshold in rules_for(trace):
        lefts = list(execute(model.to(card), rule, threshold, encoded, Execution(executor, 8, card)))
        assert disagreements(model, trace, rule, threshold, lefts)[0] == []


def test_a_trained_model_leaves_one_by_one_as_replay_says(executor, toy_job):
    job = toy_job("pabee")
    trace = executor.ensure_trace(job)
    texts = toy_data().splits["dev"].texts
    lefts = list(
        sequential(
            executor.model(job), find_rule("entropy"), 0.5, load_tokenizer("toy").encode(texts, 16), CPU
        )
    )
    assert disagreements(executor.model(job), trace, find_rule("entropy"), 0.5, lefts)[0] == []


def test_layers_after_the_exit_are_not_computed(model_of, encoded):
    model, executed = model_of("bert"), []
    for layer in model.backbone.layers:
        layer.register_forward_hook(lambda module, *_: executed.append(module))
    left = leave_early(model, find_rule("budgeted"), 2.0, encoded.batch(np.array([0])))
    assert (left.layer, left.exit_index, left.executed) == (2, 1, 2)
    assert executed == list(model.backbone.layers[:2])


@pytest.mark.parametrize(
    ("name", "threshold", "asked"),
    [("budgeted", 3.0, ["3"]), ("cka;theta=2", 1.0, ["3"]), ("patience", 9.0, [*"12345"])],
)
def test_no_head_is_asked_that_the_rule_does_not_need(model_of, encoded, name, threshold, asked):
    model, seen = model_of("bert"), []
    for layer, head in model.heads.items():
        head.classifier = nn.Sequential(head.classifier)  # what is no plain linear map is called, and heard
        head.classifier.register_forward_hook(lambda *_, layer=layer: seen.append(layer))
    leave_early(model, find_rule(name), threshold, encoded.batch(np.array([0])))
    assert seen == asked


def test_answers_wait_for_those_before_them():
    given = iter([(1, "b"), (0, "a"), (3, "d"), (2, "c")])
    found = in_order(given)
    assert [next(found), next(found)] == ["a", "b"]
    assert next(given) == (3, "d")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"executor": "compat"}, "unknown executor 'compat'; did you mean 'compact'?"),
        ({"executor": "xyz"}, "unknown executor 'xyz'; choose one of sequential, compact, pooled"),
        ({"batch_size": 0}, "choose a batch size of 1 or more"),
        ({"executor": "sequential"}, "use batch size 1, or compact"),
    ],
)
def test_an_execution_that_cannot_be(wrong, message):
    with pytest.raises(UserError, match=message.replace("?", r"\?")):
        Execution(**wrong)
