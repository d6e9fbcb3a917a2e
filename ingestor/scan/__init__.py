"""Chunk → page views and tallies: the hot loop, put together from one format and the rules."""

from ingestor.scan.judge import Judge, Judged, Verdict
from ingestor.scan.recipe import Recipe, is_utf16, sample_lines
from ingestor.scan.scanner import Scanner

__all__ = ["Judge", "Judged", "Recipe", "Scanner", "Verdict", "is_utf16", "sample_lines"]
