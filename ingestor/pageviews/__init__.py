"""Hits become page views, or the reason why not. Pure."""
