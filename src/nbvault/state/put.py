"""Rows by their primary key: entered once, whatever dies or is tried again in between.

Databricks SQL enforces no keys, has no transactions over statements, and its driver may send a statement again whose
answer was lost. There a row goes in by one MERGE on its key, which is whole or not at all, and which may be repeated.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler

Row = Mapping[str, Any]
_BATCH = 1000
# A statement on Databricks SQL takes 255 parameters, and its driver sends many rows one by one.
_PARAMETERS = 250


def merges(connection: sa.Connection) -> bool:
    """Whether the database has neither keys nor transactions, so that every statement must stand for itself."""
    return connection.dialect.name == "databricks"


def insert(connection: sa.Connection, table: sa.Table, rows: Iterable[Row]) -> None:
    """New rows, many at a time; on Databricks SQL one whose key is there already stays as it was."""
    pending = iter(rows)
    size = _PARAMETERS // len(table.columns) if merges(connection) else _BATCH
    while batch := list(islice(pending, size)):
        if merges(connection):
            connection.execute(Merge(table, batch, update=False))
        else:
            connection.execute(table.insert(), batch)


def put(connection: sa.Connection, table: sa.Table, row: Row) -> None:
    """A row in the place of the one with its key, if there is one; columns that it does not name stay."""
    if merges(connection):
        connection.execute(Merge(table, [row], update=True))
        return
    (key,) = table.primary_key.columns
    here = key == row[key.name]
    if connection.scalar(sa.select(key).where(here)) is None:
        connection.execute(table.insert().values(**row))
    else:
        connection.execute(table.update().where(here).values(**row))


def replace(connection: sa.Connection, table: sa.Table, rows: Sequence[Row]) -> None:
    """These rows instead of all that are there, by a numeric key that counts from 0.

    Without transactions the new ones come before the old ones go: a reader in between sees too many, never none.
    """
    (key,) = table.primary_key.columns
    if not merges(connection):
        connection.execute(table.delete())
        insert(connection, table, rows)
        return
    size = _PARAMETERS // len(table.columns)
    for start in range(0, len(rows), size):
        connection.execute(Merge(table, rows[start : start + size], update=True))
    connection.execute(table.delete().where(key >= len(rows)))


class Merge(sa.Executable, sa.ClauseElement):
    """One MERGE of rows that all name the same columns, by the table's primary key."""

    inherit_cache = False

    def __init__(self, table: sa.Table, rows: Sequence[Row], *, update: bool) -> None:
        self.table = table
        self.rows = rows
        self.update = update


@compiles(Merge)
def _merge(merge: Merge, compiler: SQLCompiler, **_options: Any) -> str:
    """The same in the SQL of each database that has MERGE; types are spelled, since VALUES has none of its own."""
    columns = [column for column in merge.table.columns if column.name in merge.rows[0]]
    keys = [column.name for column in merge.table.primary_key.columns]
    quoted = {column.name: compiler.preparer.quote(column.name) for column in columns}

    def value(number: int, column: sa.Column[Any]) -> str:
        name = f"{column.name}_{number}"
        bound = sa.bindparam(name, merge.rows[number][column.name], type_=column.type, unique=False)
        return compiler.process(sa.cast(bound, column.type))

    tuples = (f"({', '.join(value(n, column) for column in columns)})" for n in range(len(merge.rows)))
    names = ", ".join(quoted.values())
    on = " AND ".join(f"kept.{quoted[key]} = given.{quoted[key]}" for key in keys)
    changed = ", ".join(f"{text} = given.{text}" for name, text in quoted.items() if name not in keys)
    matched = f" WHEN MATCHED THEN UPDATE SET {changed}" if merge.update and changed else ""
    return (
        f"MERGE INTO {compiler.preparer.format_table(merge.table)} AS kept"  # noqa: S608 - names of our own tables
        f" USING (SELECT * FROM (VALUES {', '.join(tuples)}) AS listed ({names})) AS given ON {on}{matched}"
        f" WHEN NOT MATCHED THEN INSERT ({names}) VALUES ({', '.join(f'given.{text}' for text in quoted.values())})"
    )
