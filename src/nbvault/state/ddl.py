"""The state tables as a file of Databricks SQL, for whoever makes them by hand so that nbvault need not."""

from __future__ import annotations

import sqlalchemy as sa

from nbvault.state.migrations import MIGRATIONS
from nbvault.state.schema import metadata

_TYPES = ((sa.BigInteger, "BIGINT"), (sa.Boolean, "BOOLEAN"), (sa.TIMESTAMP, "TIMESTAMP"), (sa.Text, "STRING"))


def schema_sql(catalog: str, schema: str) -> str:
    """Every table, and the record of the steps that it stands for; may be run again."""
    place = qualified(catalog, schema)
    tables = [_table(table, place) for table in metadata.sorted_tables]
    steps = " UNION ALL ".join(
        f"SELECT {version} AS version, '{step.name}' AS name" for version, step in enumerate(MIGRATIONS, 1)
    )
    record = (
        f"MERGE INTO {place}.`schema_version` AS kept USING ({steps}) AS given"  # noqa: S608
        " ON kept.version = given.version WHEN NOT MATCHED THEN"
        " INSERT (version, name, applied_at) VALUES (given.version, given.name, current_timestamp())"
    )
    return "".join(f"{each};\n" for each in (f"CREATE SCHEMA IF NOT EXISTS {place}", *tables, record))


def qualified(catalog: str, schema: str) -> str:
    """The name of a schema as SQL has it."""
    return ".".join("`" + part.replace("`", "``") + "`" for part in (catalog, schema))


def _table(table: sa.Table, place: str) -> str:
    lines = [f"  `{c.name}` {_type(c)}{'' if c.nullable else ' NOT NULL'}" for c in table.columns]
    lines.append(f"  PRIMARY KEY ({', '.join(f'`{c.name}`' for c in table.primary_key.columns)})")
    return f"CREATE TABLE IF NOT EXISTS {place}.`{table.name}` (\n" + ",\n".join(lines) + "\n) USING DELTA"


def _type(column: sa.Column[object]) -> str:
    kind = column.type.impl if isinstance(column.type, sa.types.TypeDecorator) else column.type
    return next(name for each, name in _TYPES if isinstance(kind, each))
