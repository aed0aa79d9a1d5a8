# Databricks notebook source
# MAGIC %md
# MAGIC # nbvault: converter
# MAGIC Makes Git folders of the clients folder, beside the original.
# MAGIC
# MAGIC The compute needs the wheel of nbvault: as a library, or by `%pip install` first.
# MAGIC Fill in the widgets above, then run all cells.

# COMMAND ----------

from nbvault.widgets import Desk

desk = Desk.opened(dbutils, "setup")

# COMMAND ----------

desk.run()
