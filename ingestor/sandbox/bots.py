"""Is a user agent a bot's? The sandbox's own judge, in place of the npm package isbot."""

from __future__ import annotations


def is_bot(user_agent: str) -> bool:
    """TODO."""
    return "bot" in user_agent.lower() or len(user_agent) < 20  # noqa: PLR2004 - TODO
