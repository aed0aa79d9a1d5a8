# Databricks notebook source
# MAGIC %md
# MAGIC # nbvault: configuration
# MAGIC Looks whether everything that a backup needs is in order, and says what is missing. Writes nothing.
# MAGIC
# MAGIC The compute needs the wheel of nbvault: as a library, or by `%pip install` first.
# MAGIC Fill in the widgets above, then run all cells.

# COMMAND ----------

from nbvault.widgets import Desk

desk = Desk.opened(dbutils, "configuration")

# COMMAND ----------

desk.run()
