"""Rows of bytes in order of their keys, in one SQLite file: what the example keeps everything in."""

import sqlite3
import struct

from example_child import Error

MADE = """CREATE TABLE IF NOT EXISTS row(db TEXT, tab TEXT, key BLOB, at INTEGER, value BLOB, PRIMARY KEY(db, tab, key))
          WITHOUT ROWID"""
CODES = {sqlite3.SQLITE_FULL: "disk_full", sqlite3.SQLITE_READONLY: "read_only", sqlite3.SQLITE_CORRUPT: "corrupt",
         sqlite3.SQLITE_NOTADB: "corrupt", sqlite3.SQLITE_NOMEM: "no_memory", sqlite3.SQLITE_BUSY: "in_use"}


class Trouble(Error):
    """The disk or the file: it ends the transaction, not only the unit."""


def code_of(e):
    """The contract's word for an error of SQLite."""
    return e.code if isinstance(e, Error) else CODES.get(getattr(e, "sqlite_errorcode", 0) & 0xff, "io")


def connect(path):
    sql = sqlite3.connect(path, isolation_level=None)
    sql.execute("PRAGMA locking_mode = EXCLUSIVE")
    sql.execute("PRAGMA journal_mode = WAL")
    sql.execute("PRAGMA synchronous = FULL")  # a commit is on the disk before it is answered
    sql.execute(MADE)
    return sql


def packed(parts):
    """A key that sorts as its parts do: texts by their bytes, numbers by their value."""
    return b"".join(p.encode() + b"\0" if isinstance(p, str) else struct.pack(">Q", p) if isinstance(p, int) else p
                    for p in parts)


def behind(prefix):
    """The first key above all that begin so."""
    cut = prefix.rstrip(b"\xff")
    return cut[:-1] + bytes([cut[-1] + 1]) if cut else b"\xff" * 2000


class Rows:
    """One database, "" or an account's: tables of key -> value. `at` is a number beside a value, for its age."""

    def __init__(self, sql, db):
        self.sql, self.db = sql, db

    def run(self, text, values):
        try:
            return self.sql.execute(text, values)
        except sqlite3.Error as e:
            raise Trouble(code_of(e), str(e))

    def get(self, tab, *key):
        row = self.run("SELECT value FROM row WHERE db = ? AND tab = ? AND key = ?",
                               (self.db, tab, packed(key))).fetchone()
        return row[0] if row else None

    def put(self, tab, key, value, at=None):
        self.run("REPLACE INTO row(db, tab, key, at, value) VALUES(?, ?, ?, ?, ?)",
                         (self.db, tab, packed(key), at, value))

    def delete(self, tab, *key):
        self.run("DELETE FROM row WHERE db = ? AND tab = ? AND key = ?", (self.db, tab, packed(key)))

    def clear(self, tab, *prefix):
        first = packed(prefix)
        self.run("DELETE FROM row WHERE db = ? AND tab = ? AND key >= ? AND key < ?",
                         (self.db, tab, first, behind(first)))

    def scan(self, tab, *prefix, first=None, below=None, down=False):
        """(key, at, value) of all with that prefix, or from key `first` on, up to key `below`."""
        low = packed(prefix)
        return self.run(
            "SELECT key, at, value FROM row WHERE db = ? AND tab = ? AND key >= ? AND key < ? ORDER BY key"
            + (" DESC" if down else ""), (self.db, tab, low if first is None else first,
                                          behind(low) if below is None else below))

    def expire(self, tab, before, after=-1):
        """Delete what has after < at < before."""
        self.run("DELETE FROM row WHERE db = ? AND tab = ? AND at > ? AND at < ?", (self.db, tab, after, before))

    def count(self):
        return self.run("SELECT tab, count(*) FROM row WHERE db = ? GROUP BY tab", (self.db,)).fetchall()
