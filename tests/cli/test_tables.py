from eebench.cli.tables import print_table


def test_columns_are_aligned_and_numbers_left_as_they_are(capsys):
    print_table([("a", "1.50"), ("bcd", "10")], ("name", "x"))
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert lines == ["name    x", "------  ----", "a       1.50", "bcd     10"]


def test_no_rows_leave_the_heads(capsys):
    print_table([], ("name", "x"))
    assert capsys.readouterr().out.splitlines()[0].split() == ["name", "x"]
