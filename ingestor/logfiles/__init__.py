"""Bytes on disk become chunks of whole lines, each with its file and offsets."""
