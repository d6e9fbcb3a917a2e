"""What is finished, in memory and on disk."""

from ingestor.checkpoint.committer import CommitPace as CommitPace
from ingestor.checkpoint.committer import Committer as Committer
from ingestor.checkpoint.database import CheckpointUnavailable as CheckpointUnavailable
from ingestor.checkpoint.journal import JournalEntry as JournalEntry
from ingestor.checkpoint.journal import Role as Role
from ingestor.checkpoint.options import CheckpointOptions as CheckpointOptions
from ingestor.checkpoint.snapshot import FileSnapshot as FileSnapshot
from ingestor.checkpoint.snapshot import Snapshot as Snapshot
from ingestor.checkpoint.snapshot import amend as amend
from ingestor.checkpoint.snapshot import examine as examine
from ingestor.checkpoint.snapshot import forget as forget
from ingestor.checkpoint.snapshot import read as read
from ingestor.checkpoint.store import Store as Store
from ingestor.checkpoint.watermark import Intervals as Intervals
