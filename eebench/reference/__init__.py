"""Published numbers: every results table of four papers as CSV, and the address of each number in them."""

from eebench.reference.keys import Key, Table, printed_row
from eebench.reference.tables import PAPERS, Paper, reference_names, reference_table

__all__ = ["PAPERS", "Key", "Paper", "Table", "printed_row", "reference_names", "reference_table"]
