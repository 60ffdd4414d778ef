"""`python -m eebench`."""

from eebench.cli import main

main()
