"""The one boundary: exit codes, and messages instead of tracebacks."""

import os
import signal
import subprocess
import sys

import pytest


def test_help_lists_the_commands(eebench):
    answer = eebench("--help")
    assert answer.code == 0 and answer.err == ""
    assert all(
        f"  {name} " in answer.out
        for name in ("train", "sweep", "report", "cost", "list", "status", "steptime")
    )


def test_no_command_shows_the_help(eebench):
    answer = eebench()
    assert answer.code == 2 and "Commands:" in answer.out + answer.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sweep"], "Missing option '--suite'"),
        (["train", "joint"], "Missing option '--task'"),
        (["train", "joint", "--task", "rte", "--seed", "one"], "Invalid value for '--seed'"),
        (["list"], "Missing argument"),
        (["sweeep"], "No such command 'sweeep'"),
        (["status", "--fast"], "No such option: --fast"),
    ],
)
def test_wrong_usage_is_code_2(eebench, arguments, message):
    answer = eebench(*arguments)
    assert answer.code == 2 and message in answer.err and "Traceback" not in answer.err


def test_a_users_mistake_is_one_message_and_code_2(eebench):
    answer = eebench("train", "pabbe", "--task", "rte")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith(
        "error: unknown method 'pabbe'; did you mean 'pabee'?  `eebench list methods`"
    )
    assert answer.err.count("\n") == 1


def test_several_mistakes_are_a_line_each(eebench):
    answer = eebench("train", "joint", "--task", "rte", "--set", "lr=fast", "--set", "epocs=1")
    assert answer.code == 2
    assert [line.split(":")[0] for line in answer.err.splitlines()] == ["error", "error"]
    assert "--set (joint): lr: Input should be a valid number (got 'fast')." in answer.err
    assert "unknown key 'epocs' in --set (joint); did you mean 'epochs'?" in answer.err


def test_a_failed_run_is_code_1(eebench, write_suite):
    write_suite()
    answer = eebench("train", "joint", "--task", "moods", "--backbone", "toy", "--train-file", "train.csv",
                     "--dev-file", "dev.csv", "--text", "sentence", "--set", "lr=1e30")  # fmt: skip
    assert answer.code == 1
    assert "error: joint on moods, toy, seed 42 failed: the loss is not finite at step 2;" in answer.err


# A background job inherits an ignored SIGINT, and Python then leaves it ignored.
INTERRUPTIBLE = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from eebench.cli import main
main()
"""


def test_an_interrupted_command_says_how_to_go_on(write_suite):
    write_suite(defaults={"epochs": 100_000, "batch_size": 16})
    command = [sys.executable, "-c", INTERRUPTIBLE, "sweep", "--suite", "small.yaml"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True
    ) as process:
        try:
            assert process.stderr.readline().startswith("precision ")
            assert process.stderr.readline() == "[1/2] finetune on moods, toy, seed 1\n"
            process.send_signal(signal.SIGINT)
            _, error = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130
    assert error == "interrupted; run the same command again to continue.\n"
