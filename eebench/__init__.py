"""eebench: train, sweep, cost and compare early-exit BERT methods under one protocol."""

__version__ = "0.1.0"
