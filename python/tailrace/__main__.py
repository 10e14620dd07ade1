"""The command line: ``python -m tailrace`` is ``tailrace``."""

from tailrace._cli import main

main()
