"""Writes the table of presets into docs/formats.md, from ingestor/formats/presets.py."""

from __future__ import annotations

from pathlib import Path

from ingestor.formats import PRESETS

PAGE = Path(__file__).with_name("formats.md")
BEGIN, END = "<!-- presets -->\n", "<!-- /presets -->"


def with_table(page: str) -> str:
    """Give the page with the table between its two marks."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    rows = ["| name | who writes it | definition | a line |", "|---|---|---|---|"]
    rows += [
        f"| `{name}` | {preset.who} | {code(preset.template)} | {code(preset.sample)} |"
        for name, preset in PRESETS.items()
        if preset is PRESETS.get(name) and name == first_name(preset.template)
    ]
    others: dict[str, list[str]] = {}
    for name, preset in PRESETS.items():
        first = first_name(preset.template)
        if name != first:
            others.setdefault(first, []).append(name)
    rows += ["", "Other names for the same definitions:", ""]
    rows += [
        f"- {', '.join(f'`{name}`' for name in names)}: as `{first}`"
        for first, names in sorted(others.items())
    ]
    return before + BEGIN + "\n".join(rows) + "\n" + END + after


def first_name(template: str) -> str:
    """Give the first preset with this definition."""
    return next(name for name, preset in PRESETS.items() if preset.template == template)


def code(text: str) -> str:
    """Show a text as code in a cell of a table."""
    shown = text.replace("|", "\\|").replace("\t", "⇥")
    return f"`{shown}`" if "`" not in shown else f"`` {shown} ``"


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text("utf-8")), "utf-8")
