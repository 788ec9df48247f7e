"""Columns that the label log's file of an older version lacks."""

from __future__ import annotations

import sqlite3


def add_missing_column(db: sqlite3.Connection, table: str, column: str, definition: str) -> None:
    """Once, whichever process opens the file first."""
    lacks = f"SELECT COUNT(*) = 0 FROM pragma_table_info('{table}') WHERE name = '{column}'"  # noqa: S608 - ours
    if db.execute(lacks).fetchone()[0]:
        with db:
            # Another process may open the same file now.
            db.execute("BEGIN IMMEDIATE")
            if db.execute(lacks).fetchone()[0]:
                db.execute(f"ALTER TABLE {table} ADD COLUMN {column} {definition}")
