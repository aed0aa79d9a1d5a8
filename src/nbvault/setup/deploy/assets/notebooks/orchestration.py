# Databricks notebook source
# MAGIC %md
# MAGIC # nbvault: orchestration
# MAGIC One notebook for every operation: setup, sync or restore. Setup and restore begin as a dry run, which only shows
# MAGIC what would be done; a sync backs up.
# MAGIC
# MAGIC The compute needs the wheel of nbvault: as a library, or by `%pip install` first.
# MAGIC Fill in the widgets above, then run all cells.

# COMMAND ----------

from nbvault.widgets import Desk

desk = Desk.opened(dbutils, "orchestration")

# COMMAND ----------

desk.run()
