# Databricks notebook source
# MAGIC %md
# MAGIC # nbvault: restore
# MAGIC Brings notebooks back as they were. It begins as a dry run, which shows the plan and writes nothing.
# MAGIC
# MAGIC The compute needs the wheel of nbvault: as a library, or by `%pip install` first.
# MAGIC Fill in the widgets above, then run all cells.

# COMMAND ----------

from nbvault.widgets import Desk

desk = Desk.opened(dbutils, "restore")

# COMMAND ----------

desk.run()
