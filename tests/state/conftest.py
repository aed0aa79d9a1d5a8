"""Real databases for the state store."""

from database_places import postgres, url

__all__ = ["postgres", "url"]
