"""Writes the presets into docs/formats.md, from ingestor/formats/presets.py.

    python docs/formats.py               # after a preset was added or changed

A test holds the page to it.
"""

from __future__ import annotations

from pathlib import Path

from ingestor.formats import PRESETS

PAGE = Path(__file__).with_name("formats.md")
BEGIN, END = "<!-- presets: written by docs/formats.py -->\n", "<!-- end of presets -->"


def with_presets(page: str) -> str:
    """Give the page with the presets between its two marks: a narrow table, then each in full."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    names: dict[str, list[str]] = {}  # by definition: its name, and others for the same
    for name, preset in PRESETS.items():
        names.setdefault(preset.template, []).append(name)
    table = ["| name | who writes it | other names |", "|---|---|---|"]
    each = ["", "Each with its definition, and a line of it:", ""]
    for template, (name, *others) in names.items():
        preset = PRESETS[name]
        table.append(f"| `{name}` | {preset.who} | {', '.join(f'`{other}`' for other in others)} |")
        each += [f"`{name}`", "", "```", shown(template), shown(preset.sample), "```", ""]
    return before + BEGIN + "\n".join(table + each) + END + after


def shown(text: str) -> str:
    """Show a text with its tabs."""
    return text.replace("\t", "⇥")


if __name__ == "__main__":
    PAGE.write_text(with_presets(PAGE.read_text("utf-8")), "utf-8")
