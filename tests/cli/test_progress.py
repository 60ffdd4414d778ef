import io

import pytest
from rich.console import Console

from eebench.cli.progress import PlanProgress


@pytest.fixture
def job(toy_job):
    return toy_job("pabee")


def test_one_line_per_run_where_there_is_no_terminal(job):
    output = io.StringIO()
    with PlanProgress(Console(file=output, width=20)) as progress:
        progress.started(job, 1, 2)
        for step in range(12):
            progress.step(step + 1, 12)
        progress.failed(job, "the loss is not finite at step [2]")
    assert output.getvalue().replace("\n", "") == (
        "[1/2] pabee on toy, toy, seed 1failed: pabee on toy, toy, seed 1: the loss is not finite at step [2]"
    )
    assert output.getvalue().splitlines()[-1].startswith("failed: ")  # reasons are not wrapped


def test_a_bar_on_a_terminal_that_leaves_nothing_behind_but_failures(job):
    output = io.StringIO()
    with PlanProgress(Console(file=output, force_terminal=True, width=100, color_system=None)) as progress:
        progress.started(job, 1, 2)
        progress.step(6, 12)
        progress.failed(job, "why")
    text = output.getvalue()
    assert "[1/2] pabee on toy, toy, seed 1" in text and "6/12 steps, left" in text
    assert "failed: pabee on toy, toy, seed 1: why" in text


def test_the_bar_is_stopped_by_an_error(job):
    progress = PlanProgress(Console(file=io.StringIO(), force_terminal=True))
    with pytest.raises(RuntimeError, match="boom"), progress:
        raise RuntimeError("boom")
    assert not progress._bar.live.is_started
