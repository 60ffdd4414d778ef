import io

import pytest
from rich.console import Console

from eebench.cli.progress import PlanProgress, duration
from eebench.training.evaluation import exit_scores
from eebench.training.loop import Moment


@pytest.fixture
def job(toy_job):
    return toy_job("pabee")


def moment(done, total=12, **own):
    return Moment(done, total, **{"stage": "finetune", "epoch": 1, "epochs": 3, "loss": lambda: 0.52, **own})


class Clock:
    """Seconds that pass when told to."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def test_lines_where_there_is_no_terminal(job, executor):
    output, clock, asked = io.StringIO(), Clock(), []
    with PlanProgress(Console(file=output, width=20), clock) as progress:
        progress.started(job, 1, 2)
        for step in range(240):  # a second each
            clock.now += 1
            progress.step(moment(step + 1, 1200, epoch=1 + step // 100, loss=lambda: asked.append(0) or 0.52))
        clock.now += 2
        progress.finished(job, executor.ensure_trace(job))
        progress.started(job, 2, 2)
        progress.failed(job, "the loss is not finite at step [2]")
    first, *minutes, last, second, failed = output.getvalue().splitlines()
    assert first == "[1/2] pabee on toy, toy, seed 1" and second == "[2/2] pabee on toy, toy, seed 1"
    assert minutes == [
        "[1/2] finetune: epoch 1 of 3, step 60 of 1,200, 1 steps/s, 19:00 left, loss 0.52",
        "[1/2] finetune: epoch 2 of 3, step 120 of 1,200, 1 steps/s, 18:00 left, loss 0.52",
        "[1/2] finetune: epoch 2 of 3, step 180 of 1,200, 1 steps/s, 17:00 left, loss 0.52",
        "[1/2] finetune: epoch 3 of 3, step 240 of 1,200, 1 steps/s, 16:00 left, loss 0.52",
    ]
    score = 100 * exit_scores(executor.ensure_trace(job), "accuracy")[-1]
    assert last == f"[1/2] done in 4:02, accuracy {score:.1f} on dev"
    assert failed == "failed: pabee on toy, toy, seed 1: the loss is not finite at step [2]"  # never wrapped
    assert len(asked) == 4  # the device is waited for once a line, not once a step


def test_time_left_of_a_run_that_goes_on_counts_what_was_done_now(job):
    output, clock = io.StringIO(), Clock()
    with PlanProgress(Console(file=output, width=20), clock) as progress:
        progress.started(job, 1, 1)
        for step in range(1000, 1060):
            clock.now += 1
            progress.step(moment(step + 1, 1200))
        progress.finished(job, None)
    assert "step 1,060 of 1,200, 1 steps/s, 2:20 left" in output.getvalue()
    assert output.getvalue().splitlines()[-1] == "[1/1] done in 1:00"


def test_a_run_that_was_there_says_so(job):
    output = io.StringIO()
    with PlanProgress(Console(file=output)) as progress:
        progress.started(job, 3, 3)
        progress.finished(job, None)
    assert output.getvalue().splitlines()[-1] == "[3/3] was done already"


def test_hours():
    assert [duration(seconds) for seconds in (7, 59.6, 754, 3723)] == ["0:07", "1:00", "12:34", "1:02:03"]


def test_a_bar_on_a_terminal_that_leaves_nothing_behind_but_failures(job):
    output = io.StringIO()
    with PlanProgress(Console(file=output, force_terminal=True, width=100, color_system=None)) as progress:
        progress.started(job, 1, 2)
        progress.step(moment(6))
        progress.failed(job, "why")
    text = output.getvalue()
    assert "[1/2] pabee on toy, toy, seed 1" in text and "6/12 steps, left" in text
    assert "failed: pabee on toy, toy, seed 1: why" in text


def test_the_bar_is_stopped_by_an_error(job):
    progress = PlanProgress(Console(file=io.StringIO(), force_terminal=True))
    with pytest.raises(RuntimeError, match="boom"), progress:
        raise RuntimeError("boom")
    assert not progress._bar.live.is_started
