"""Real databases for the state store."""

from database_places import databricks_url, lake, postgres, postgresql_url, sqlite_url, url

__all__ = ["databricks_url", "lake", "postgres", "postgresql_url", "sqlite_url", "url"]
