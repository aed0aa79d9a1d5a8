"""nbvault backs up the notebooks of a Databricks workspace into Git and gives them back, proven."""

__version__ = "0.1.0"
