import numpy as np
import pytest
import torch

from eebench.engine.steptime import (
    REFERENCE_LOOP,
    WARM_UP,
    Protocol,
    Timing,
    Work,
    fresh_model,
    measure_steps,
    reference_options,
    stages_of,
    time_works,
)
from eebench.errors import RunError
from eebench.methods.catalogue import find_method
from eebench.suites import load_suite
from eebench.training.batches import epoch_batches

CPU = torch.device("cpu")


@pytest.fixture
def protocol(toy_job):
    return Protocol(toy_job("finetune"), 2, CPU)


def test_all_train_on_the_references_batches(protocol, toy_job):
    examples = protocol.examples()
    assert len(examples.encoded) == len(examples.labels) == (WARM_UP + 2) * 16 == 96
    deebert = toy_job("deebert", batch_size=4, max_length=8, seed=7)
    setup = protocol.setup(examples, deebert.options)
    assert (setup.options.batch_size, setup.options.max_length, setup.seed) == (16, 16, 1)
    assert len(epoch_batches(examples.encoded.lengths, 16, setup.seed, 0)) == protocol.rounds


def test_rows_come_again_when_there_are_too_few(toy_job):
    protocol = Protocol(toy_job("finetune"), 20, CPU)  # 24 rounds of 16 rows; the toy task has 96
    examples = protocol.examples()
    assert len(examples.labels) == 384
    assert np.array_equal(examples.labels[:96], examples.labels[96:192])
    assert np.array_equal(np.unique(examples.labels, return_counts=True)[1], [192, 192])


def test_stages_of_needed_runs_come_first_under_their_role(toy_job):
    assert [title for title, _ in stages_of(toy_job("finetune"))] == ["finetune"]
    titles = [title for title, _ in stages_of(toy_job("deebert"))]
    assert titles == ["finetuned: finetune", "off-ramps"]


def test_what_is_needed_is_as_fresh_as_the_model(toy_job):
    job = toy_job("deebert", head={"pooler": "none"})
    torch.manual_seed(3)
    model = fresh_model(job)
    torch.manual_seed(3)
    again = fresh_model(job)
    assert model.exit_layers == (1, 2)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))


def test_a_loop_trains_the_parameters_of_its_stage(protocol, toy_job):
    job = toy_job("deebert")
    works = dict(stages_of(job))
    assert works["off-ramps"].key == (job.spec.key, 0)
    with works["off-ramps"].loop(protocol, protocol.examples()) as loop:
        assert loop.block() > 0
        trained = [name for name, one in loop.model.named_parameters() if one.requires_grad]
    assert trained and all(name.startswith("heads.1.") for name in trained)


def test_a_ratio_is_the_median_of_the_rounds_own():
    timing = Timing([2.0, 9.0, 4.0], [1.0, 3.0, 4.0])
    assert timing.ratio == 2.0  # of 2, 3 and 1; the medians' ratio would be 4/3


def test_groups_are_timed_beside_the_reference_each(toy_job):
    protocol = Protocol(toy_job("finetune"), 2, CPU, group=2)
    seen = []
    works = {name: Work(toy_job(name), 0) for name in ("joint", "pabee", "gaml")}
    timings = time_works(works, protocol, lambda done, total: seen.append((done, total)))
    assert {name: len(timing.own) for name, timing in timings.items()} == {
        "joint": 2, "pabee": 2, "gaml": 2, REFERENCE_LOOP: 4,
    }  # fmt: skip
    assert timings["joint"].reference == timings["pabee"].reference != timings["gaml"].reference
    assert seen == [(number, 12) for number in range(1, 13)]


def test_every_stage_is_a_row_and_equal_runs_are_timed_once(protocol, toy_job):
    runs = {name: toy_job(name) for name in ("finetune", "deebert", "pabee", "shallow-deep")}
    rows = measure_steps(runs, protocol)
    assert [(row.method, row.stage) for row in rows] == [
        ("finetune", "finetune"), ("deebert", "finetuned: finetune"), ("deebert", "off-ramps"),
        ("pabee", "joint"), ("shallow-deep", "joint"),
    ]  # fmt: skip
    assert rows[0].ratio == 1.0 and all(row.step_ms > 0 < row.ratio for row in rows)
    assert rows[3].step_ms == rows[4].step_ms and rows[3].ratio == rows[4].ratio
    assert {(row.task, row.backbone, row.steps, row.batch_size, row.precision) for row in rows} == {
        ("toy", "toy", 2, 16, "fp32")
    }
    assert {row.threads for row in rows} == {1}


def test_measuring_leaves_the_random_state_of_the_model_s_making_alone(protocol, toy_job):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    with Work(toy_job("joint"), 0).loop(protocol, protocol.examples()):
        assert torch.equal(torch.rand(1), expected)


def test_a_run_that_fails_is_named(protocol, toy_job):
    runs = {"finetune": toy_job("finetune"), "wild": toy_job("joint", lr=1e30)}
    with pytest.raises(RunError, match="^wild, stage joint: the loss is not finite"):
        measure_steps(runs, protocol)


def test_the_reference_is_the_suites_own_finetuning_or_has_its_defaults(toy_suite):
    suite = load_suite("moods.yaml")
    assert reference_options("moods.yaml", suite, "moods", "toy") == suite.choices[0].options
    text = (
        toy_suite.read_text().replace("  - finetune\n", "").replace("batch_size: 16}", "batch_size: 8, k: 1}")
    )
    text = text.split("methods:")[0] + "methods: [first-k]\ntask_defaults: {moods: {lr: 0.5}}\n"
    toy_suite.write_text(text)
    options = reference_options("moods.yaml", load_suite("moods.yaml"), "moods", "toy")
    expected = find_method("finetune").options_type(epochs=2, lr=0.5, batch_size=8)
    assert options == expected
