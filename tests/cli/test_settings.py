import pytest
import torch

from eebench.cli.settings import find_device
from eebench.errors import UserError
from eebench.training.precision import auto_precision, multiplies_in_bf16

without_cuda = pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")


def test_devices():
    assert find_device("cpu") == torch.device("cpu")
    assert find_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(UserError, match="unknown device 'gpu'; choose auto, cpu or cuda"):
        find_device("gpu")


@without_cuda
@pytest.mark.parametrize(
    "command",
    [
        ["sweep", "--suite", "small.yaml", "--device", "cuda"],
        ["status", "--suite", "small.yaml", "--device", "cuda"],
        ["train", "joint", "--task", "rte", "--device", "cuda"],
    ],
)
def test_cuda_that_is_not_there(eebench, write_suite, command):
    write_suite()
    answer = eebench(*command)
    assert (answer.code, answer.err) == (2, "error: no CUDA device is available; use --device cpu.\n")


FILES = ("--task", "moods", "--train-file", "train.csv", "--dev-file", "dev.csv", "--text", "sentence",
         "--backbone", "toy", "--set", "epochs=1")  # fmt: skip


def test_the_precision_of_training_is_said(eebench, toy_suite):
    answer = eebench("train", "joint", *FILES)
    found = auto_precision(torch.device("cpu"))
    assert answer.code == 0 and answer.err.startswith(f"precision {found}; this cpu ")
    assert "warning" not in answer.err


@pytest.mark.skipif(multiplies_in_bf16(torch.device("cpu")), reason="this processor multiplies in bf16")
def test_an_emulated_precision_is_warned_of_once(eebench, toy_suite):
    answer = eebench("train", "joint", *FILES, "--set", "precision=bf16")
    assert answer.code == 0 and answer.err.count("warning: bf16 is emulated here") == 1
    assert "`precision: auto` takes fp32" in answer.err
