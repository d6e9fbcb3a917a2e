"""Page views go to Umami."""
