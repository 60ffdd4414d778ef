"""Which number format training multiplies in: bf16 where the processor has it, fp32 elsewhere.

A processor without bf16 multiplication emulates it: 8 to 130 times slower than fp32 on CPUs with AVX2 alone.
"""

from __future__ import annotations

from time import perf_counter

import torch

BF16_UNITS = ("avx512_bf16", "amx_bf16")
"""What torch calls the parts of a CPU that multiply in bf16."""
AMPERE = (8, 0)
"""The first CUDA compute capability with bf16 units."""
PROBE = 256
"""Rows and columns of the matrices that a slow format is timed on: tens of milliseconds at worst."""


def multiplies_in_bf16(device: torch.device) -> bool:
    """Whether the device has units for bf16, which torch alone is asked."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= AMPERE
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(unit, False) for unit in BF16_UNITS)


def auto_precision(device: torch.device) -> str:
    """What `precision: auto` means on a device: "bf16" or "fp32"."""
    return "bf16" if multiplies_in_bf16(device) else "fp32"


def bf16_slowdown(device: torch.device) -> float:
    """How many times longer a product of matrices takes in bf16 than in fp32 on the device, timed now."""
    taken = []
    for dtype in (torch.float32, torch.bfloat16):
        matrix = torch.ones(PROBE, PROBE, device=device, dtype=dtype)
        (matrix @ matrix).sum().item()  # the first product of a format sets things up
        start = perf_counter()
        (matrix @ matrix).sum().item()
        taken.append(perf_counter() - start)
    return taken[1] / taken[0]
