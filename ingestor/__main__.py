"""``python -m ingestor``: the same as the command."""


def main() -> None:
    """Run the command. The processes of a backfill import this module, and need none."""
    from ingestor.cli import main as command  # noqa: PLC0415 - only when it is run

    command()


if __name__ == "__main__":
    main()
