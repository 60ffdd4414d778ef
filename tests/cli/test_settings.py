import pytest
import torch

from eebench.cli.settings import auto_precision, find_device
from eebench.errors import UserError

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


def test_auto_precision():
    assert auto_precision(torch.device("cpu")) == "fp32"
    assert auto_precision(torch.device("cuda")) == "bf16"
