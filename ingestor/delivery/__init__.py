"""Page views to Umami: batches, workers, retries, dead letters.

What needs an HTTP client (`delivery.Delivery`, `umami.Umami`) is imported from its own module:
that takes a fifth of a second, and the configuration and `preview` do without.
"""

from ingestor.delivery.deadletters import DeadLetter, DeadLetters
from ingestor.delivery.deadletters import read as read_dead_letters
from ingestor.delivery.listing import CannotTell
from ingestor.delivery.options import DeliveryOptions, UmamiOptions
from ingestor.delivery.ports import Journal, Left, Report
from ingestor.delivery.reading import Reader, WebsiteFacts
from ingestor.delivery.resending import Resending
from ingestor.delivery.underway import Sent, UnderWay

__all__ = [
    "CannotTell",
    "DeadLetter",
    "DeadLetters",
    "DeliveryOptions",
    "Journal",
    "Left",
    "Reader",
    "Report",
    "Resending",
    "Sent",
    "UmamiOptions",
    "UnderWay",
    "WebsiteFacts",
    "read_dead_letters",
]
