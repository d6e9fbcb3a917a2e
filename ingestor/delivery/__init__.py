"""Page views to Umami: batches, workers, retries, dead letters."""

from ingestor.delivery.deadletters import DeadLetter, DeadLetters
from ingestor.delivery.deadletters import read as read_dead_letters
from ingestor.delivery.delivery import Delivery
from ingestor.delivery.listing import CannotTell
from ingestor.delivery.options import DeliveryOptions, UmamiOptions
from ingestor.delivery.ports import Journal, Left, Report
from ingestor.delivery.reading import Reader, WebsiteFacts
from ingestor.delivery.resending import Resending
from ingestor.delivery.umami import ServerFacts, Umami

__all__ = [
    "CannotTell",
    "DeadLetter",
    "DeadLetters",
    "Delivery",
    "DeliveryOptions",
    "Journal",
    "Left",
    "Reader",
    "Report",
    "Resending",
    "ServerFacts",
    "Umami",
    "UmamiOptions",
    "WebsiteFacts",
    "read_dead_letters",
]
