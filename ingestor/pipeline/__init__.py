"""The one place where the rooms meet: wiring, back-pressure, drain order."""

from ingestor.pipeline.backfill import backfill
from ingestor.pipeline.checks import Remarks, check
from ingestor.pipeline.daemon import run
from ingestor.pipeline.job import Job, Result
from ingestor.pipeline.preview import preview
from ingestor.pipeline.retry import retry_rejected
from ingestor.pipeline.status import status
from ingestor.pipeline.stopping import until_stopped

__all__ = [
    "Job",
    "Remarks",
    "Result",
    "backfill",
    "check",
    "preview",
    "retry_rejected",
    "run",
    "status",
    "until_stopped",
]
