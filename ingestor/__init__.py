"""Web-server access logs become truthful page views in Umami."""

__version__ = "0.1.0"
