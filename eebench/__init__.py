"""eebench: train, sweep, cost and compare early-exit BERT methods under one protocol.

from eebench import load_run

predictor = load_run("runs/joint-rotten_tomatoes-s42-1ab9eae504da5a8d")
predictor.predict(["a warm and funny film"], rule="entropy", setting="S=0.1")
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"
__all__ = ["__version__", "load_run"]


def __getattr__(name: str) -> Any:
    # Found when asked for, so that `import eebench` and the command line's help need no torch.
    if name == "load_run":
        return import_module("eebench.predict").load_run
    raise AttributeError(f"module 'eebench' has no attribute '{name}'")
