"""Measured time of leaving early, beside the full model's.

table.py     ``results/<suite>/latency.csv``: rows, reading, writing, and what they say in words
passes.py    one pass over some samples on the clock, and passes that take turns
measure.py   from trained runs and settings to rows
choosing.py  which setting of a rule is measured
"""
