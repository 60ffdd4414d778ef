import pytest
import torch

from eebench.training import precision
from eebench.training.precision import auto_precision, bf16_slowdown, multiplies_in_bf16

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({"avx2": True, "avx512_bf16": False, "amx_bf16": False}, "fp32"),
        ({"avx512_f": True}, "fp32"),
        ({"avx512_bf16": True, "amx_bf16": False}, "bf16"),
        ({"avx512_bf16": False, "amx_bf16": True}, "bf16"),
    ],
)
def test_a_cpu_takes_bf16_where_it_multiplies_in_it(monkeypatch, capabilities, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert auto_precision(CPU) == expected


@pytest.mark.parametrize(("capability", "expected"), [((7, 5), "fp32"), ((8, 0), "bf16"), ((9, 0), "bf16")])
def test_cuda_takes_bf16_from_ampere_on(monkeypatch, capability, expected):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert auto_precision(CUDA) == expected


def test_torch_names_the_units_that_are_asked_for():
    known = torch.cpu.get_capabilities()
    if known["architecture"].startswith("x86"):
        assert set(precision.BF16_UNITS) <= known.keys()


def test_the_slowdown_is_measured():
    assert bf16_slowdown(CPU) > 0
    if not multiplies_in_bf16(CPU):
        assert bf16_slowdown(CPU) > 1
