# Databricks notebook source
# MAGIC %md
# MAGIC # nbvault: sync
# MAGIC Backs the clients folder up into the repository.
# MAGIC
# MAGIC The compute needs the wheel of nbvault: as a library, or by `%pip install` first.
# MAGIC Fill in the widgets above, then run all cells.

# COMMAND ----------

from nbvault.widgets import Desk

desk = Desk.opened(dbutils, "sync")

# COMMAND ----------

desk.run()
