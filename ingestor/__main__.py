"""``python -m ingestor``: the same as the command."""

from ingestor.cli import main

if __name__ == "__main__":  # the processes of a backfill import this as well
    main()
