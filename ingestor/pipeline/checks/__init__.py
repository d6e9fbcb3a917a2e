"""What `check` looks at, one finding a file."""

from ingestor.pipeline.checks.check import check
from ingestor.pipeline.checks.remarks import Level, Remark, Remarks

__all__ = ["Level", "Remark", "Remarks", "check"]
