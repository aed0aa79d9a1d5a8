"""The routes: each parses, asks the library, and shows."""
