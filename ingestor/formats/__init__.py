"""Lines become hits. Pure: no files, no clocks, no network."""

from ingestor.formats.adaptive import Adaptive
from ingestor.formats.detect import Detection, detect, shown
from ingestor.formats.format import Format
from ingestor.formats.hits import Columns
from ingestor.formats.named import compile_format, format_named
from ingestor.formats.presets import PRESETS, Preset

__all__ = [
    "PRESETS",
    "Adaptive",
    "Columns",
    "Detection",
    "Format",
    "Preset",
    "compile_format",
    "detect",
    "format_named",
    "shown",
]
