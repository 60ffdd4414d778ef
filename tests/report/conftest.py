"""The made-up results of ``golden/tiny``, which these tests render."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from eebench.report.selection import distinguish
from eebench.results import Results, read_results

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A results folder that a test may write to."""
    return Path(shutil.copytree(GOLDEN / "tiny", tmp_path / "tiny"))


@pytest.fixture
def results(tiny: Path) -> Results:
    """The same in memory, as the tables and figures take it."""
    return distinguish(read_results(tiny))
