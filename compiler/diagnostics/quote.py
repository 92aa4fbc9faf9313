"""How a message shows a text of the user."""

from __future__ import annotations


def show(text: str, limit: int = 60) -> str:
    """The text in backticks, on one line and cut where it is long; control characters are escaped by the renderer."""
    words = " ".join(text[: limit * 4].split())
    return f"`{words if len(words) <= limit else words[: limit - 3] + '...'}`"
