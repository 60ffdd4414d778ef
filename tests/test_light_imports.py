"""Help and completion must not wait for heavy libraries."""

import subprocess
import sys

PROBE = """
import sys
from eebench.cli import main
sys.argv = ["eebench", *sys.argv[1:]]
try:
    main()
except SystemExit:
    pass
heavy = {"torch", "transformers", "datasets", "pandas", "matplotlib"}
print(sorted(heavy & sys.modules.keys()), file=sys.stderr)
"""


def test_help_imports_nothing_heavy():
    command = [sys.executable, "-c", PROBE, "--help"]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "Commands:" in found.stdout and found.stderr == "[]\n"


def test_reports_need_no_torch():
    command = "import sys, eebench.report; print(sorted({'torch', 'transformers'} & sys.modules.keys()))"
    assert subprocess.check_output([sys.executable, "-c", command], text=True) == "[]\n"
