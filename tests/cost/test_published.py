import pytest

from eebench.cost.published import TABLES, PaperTable, paper_table
from eebench.errors import UserError


def test_lines_are_aligned_and_end_without_blanks() -> None:
    table = PaperTable("title", "caption", ("name", "n"), (("a", "1,000"), ("longer", "")), ({}, {}))
    assert table.lines() == ["title", "caption", "name        n", "a       1,000", "longer"]


@pytest.mark.parametrize("name", TABLES)
def test_every_table_has_as_many_cells_as_columns(name: str) -> None:
    table = paper_table(name)
    assert len(table.rows) == len(table.plain) > 0
    assert all(len(row) == len(table.columns) for row in table.rows)


def test_an_unknown_table_names_the_known() -> None:
    with pytest.raises(UserError, match="unknown table 'gaml'; choose one of: costeff"):
        paper_table("gaml")
