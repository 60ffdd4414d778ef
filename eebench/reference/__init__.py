"""Published numbers: every results table of four papers as CSV, read by `eebench.reference.tables`."""

from eebench.reference.tables import PAPERS, Paper, published, reference_names, reference_table

__all__ = ["PAPERS", "Paper", "published", "reference_names", "reference_table"]
