"""``python -m ingestor``: the same as the command."""

from ingestor.cli import main

main()
