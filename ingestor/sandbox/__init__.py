"""A small Umami-compatible receiver, for trying the program out and for the tests."""
