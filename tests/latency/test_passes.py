import time
from functools import partial

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel

from eebench.backbones.bert import BertBackbone
from eebench.backbones.tokens import load_tokenizer
from eebench.engine.execute import build
from eebench.heads import HeadConfig, exit_heads
from eebench.latency.passes import (
    Measurand,
    Pass,
    Runner,
    full_forward,
    in_turns,
    side_by_side,
    stock_forward,
)
from eebench.model import MultiExitModel
from eebench.runtime.walking import Departure
from eebench.toy import toy_data

CPU = torch.device("cpu")


@pytest.fixture
def encoded():
    return load_tokenizer("toy").encode(toy_data(dev=80).splits["dev"].texts, 16)


@pytest.fixture
def tiny_bert():
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=500, hidden_size=16, num_hidden_layers=3, num_attention_heads=2, intermediate_size=24
    )
    backbone = BertBackbone(BertModel(config), "mean")
    return MultiExitModel(backbone, exit_heads(backbone, 2, HeadConfig(), (1, 2, 3))).eval()


def sleeper(seconds, log=None, name=""):
    """Takes so long for a batch and answers class 1 for every row."""

    def run(batches):
        for entry in batches:
            if log is not None:
                log.append(name)
            time.sleep(seconds)
            yield Departure(entry.places, 0, 1, torch.tensor([[0.0, 1.0]]).expand(len(entry.places), -1))

    return run


def test_the_stock_forward_pass_answers_like_the_full_model(encoded, tiny_bert):
    stock = partial(stock_forward, tiny_bert, tiny_bert.backbone.stock())
    for size in (1, 7):
        pair = [Measurand(size, stock), Measurand(size, partial(full_forward, tiny_bert))]
        found, expected = side_by_side(pair, encoded, 0, CPU)
        assert found.answers.tolist() == expected.answers.tolist() and set(found.layers) == {3}
        for one, other in zip(found.departures, expected.departures, strict=True):
            torch.testing.assert_close(one.logits, other.logits, atol=1e-5, rtol=0)


def test_the_full_model_answers_with_its_last_exit(encoded, toy_job):
    model = build(toy_job("joint")).eval()
    runner = Runner(Measurand(7, lambda batches: full_forward(model, batches)), encoded, CPU)
    runner.turn(10_000)
    found = runner.result()
    with torch.no_grad():
        expected = model(encoded.batch(np.arange(80))).logits[-1]
    assert runner.finished and found.answers.tolist() == expected.argmax(dim=-1).tolist()
    assert found.layers.tolist() == [2] * 80
    assert torch.is_grad_enabled()


def test_answers_and_layers_stand_in_the_order_of_the_samples():
    first = Departure(np.array([2, 0]), 0, 1, torch.tensor([[0.0, 1.0], [1.0, 0.0]]), torch.tensor([0, 1]))
    second = Departure(np.array([1]), 1, 2, torch.tensor([[0.0, 5.0]]))
    found = Pass(1.0, np.zeros(3), [first, second])
    assert found.answers.tolist() == [0, 1, 1] and found.layers.tolist() == [1, 2, 0]
    score = Departure(np.array([1, 0]), 0, 1, torch.tensor([[0.5], [2.5]]))
    assert Pass(1.0, np.zeros(2), [score]).answers.tolist() == [2.5, 0.5]


def test_a_clock_stands_still_between_turns(encoded):
    runner = Runner(Measurand(20, sleeper(0.01)), encoded, CPU)
    while not runner.finished:
        runner.turn(20)
        time.sleep(0.05)
    found = runner.result()
    assert 0.04 <= found.seconds < 0.14  # four batches; the pauses between turns alone are 0.2
    assert found.waits.min() >= 0.01 and found.waits.max() < 0.05


def test_turns_alternate_and_rounds_begin_with_another(encoded):
    log = []
    measurands = [Measurand(32, sleeper(0.0, log, name)) for name in "abc"]
    side_by_side(measurands, encoded, 0, CPU)
    assert "".join(log) == "abcbcacab"  # 80 rows: turns of 32, 32 and 16


def test_the_first_pass_warms_up_and_the_slower_one_is_slower(encoded):
    log, heard = [], []
    measurands = [Measurand(40, sleeper(0.002, log, "a")), Measurand(40, sleeper(0.02, log, "b"))]
    fast, slow = in_turns(measurands, encoded, 2, CPU, lambda done, total: heard.append((done, total)))
    assert log.count("a") == log.count("b") == 6 and len(fast.seconds) == len(slow.seconds) == 2
    assert fast.waits.shape == (2, 80) and heard == [(1, 3), (2, 3), (3, 3)]
    assert min(slow.seconds) > max(fast.seconds) and fast.first.answers.tolist() == [1] * 80
