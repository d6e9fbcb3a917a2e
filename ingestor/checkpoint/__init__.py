"""What is finished, in memory and on disk."""
