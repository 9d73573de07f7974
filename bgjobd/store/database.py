"""The SQLite file of the history: opened, migrated, checked, and replaced when it is damaged or was deleted.

WAL and synchronous=NORMAL: a commit survives any crash of the process. One connection reads, one writes; each may be
used by any thread, one at a time, which is the caller's business. Knows nothing of jobs and events.
"""

import contextlib
import logging
import os
import sqlite3  # noqa: TID253  # only the daemon imports this file
import time
from collections.abc import Iterator

from bgjobd.errors import BgjobError, ErrorCode

logger = logging.getLogger("bgjobd.history")

# Primary result codes (sqlite.org/rescode.html) that say: these bytes are no database; and when it is opened also: no
# database of ours, as a table is missing. Later the second one could only be a bug of this program.
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_NOT_OURS = _DAMAGED | {sqlite3.SQLITE_ERROR}
_BUSY_S = 5.0  # nobody else uses the file but, say, a curious user's sqlite3


class HistoryError(BgjobError):
    """SQLite refused: a full disk, a damaged file."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            ErrorCode.STORAGE,
            f"cannot use the history: {reason}",
            "Nothing is lost: the job directories are the truth.",
        )


class Database:
    """The file at `path`, which is there and usable from here on; `is_new` when it holds nothing yet."""

    def __init__(self, path: str) -> None:
        """Open it; make a new one where there is none.

        One that is damaged, or was written by a newer version, is moved aside, and `warnings` says so.

        Raises:
            HistoryError: the disk refuses.
        """
        self.path = path
        self.is_new = not os.path.exists(path)
        self.was_clean = False  # closed in order the last time
        self.warnings: list[str] = []
        self._damage = ""  # found while it was in use
        self._replaced: list[sqlite3.Connection] = []  # for reading, and maybe in use this moment
        with translated():
            try:
                self._open()
            except (sqlite3.Error, _UnusableError) as error:
                self._close()
                if isinstance(error, sqlite3.Error) and _code(error) not in _NOT_OURS:
                    raise
                self._move_aside(str(error))
                self._open()

    def close(self, *, in_order: bool = True) -> None:
        """Close it; in order, so that the next start need not check it. A second call does nothing."""
        with contextlib.suppress(sqlite3.Error):  # without the mark the next start checks: nothing depends on it
            if in_order:
                self.set_fact("closed", "yes")
        self._close()

    def reader(self) -> sqlite3.Connection:
        """Return the connection to read with, until the next call; for one thread.

        It closes those that `renew` replaced: the thread of `renew` cannot, as closing one in mid-query is a crash.
        """
        while self._replaced:
            self._replaced.pop().close()
        return self._reader

    def fact(self, name: str) -> str:
        """Return what `set_fact` stored, or ""."""
        row = self.writer.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return "" if row is None else str(row[0])

    def set_fact(self, name: str, value: str) -> None:
        """Store something the history knows about itself."""
        self.writer.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Give the writing connection within one transaction; all of it is stored, or nothing.

        Raises:
            HistoryError: nothing was stored; try again.
        """
        with translated(self):
            self.writer.execute("BEGIN IMMEDIATE")
            try:
                yield self.writer
            except BaseException:
                self.writer.rollback()
                raise
            self.writer.execute("COMMIT")

    def renew(self) -> bool:
        """Begin a new file when the one in use turned out to be damaged, or was deleted below us; return whether.

        Raises:
            HistoryError: the disk refuses.
        """
        damage, deleted = self._damage, not self._is_ours()
        if not (damage or deleted):
            return False
        with translated():
            self.writer.close()
            if not deleted:
                self._move_aside(damage)
            self._remove_companions()
            self._damage = ""
            old_reader = self._reader
            self._open()
            self._replaced.append(old_reader)
        if deleted:
            logger.error("history deleted: path=%s", self.path)
        self.is_new = True
        return True

    def note(self, error: sqlite3.Error) -> HistoryError:
        """Return the error to raise for one of SQLite; remember it when it says that the file is damaged."""
        if _code(error) in _DAMAGED:
            self._damage = str(error)
        return HistoryError(str(error))

    def _open(self) -> None:
        self.writer = _connect(self.path)
        self.writer.execute("PRAGMA journal_mode = WAL")
        self.writer.execute("PRAGMA synchronous = NORMAL")
        _migrate(self.writer)
        self.was_clean = self.is_new or self.fact("closed") == "yes"
        if not self.was_clean:  # costs time in proportion to the history: 100,000 jobs 0.15 s
            found = self.writer.execute("PRAGMA quick_check(1)").fetchone()[0]
            if found != "ok":
                raise _UnusableError(found)
        self.set_fact("closed", "no")
        # It opens -wal and -shm, by name: later they may be another's.
        self._reader = _connect(self.path, "SELECT 1 FROM facts")
        self._inode = os.stat(self.path).st_ino

    def _close(self) -> None:
        for connection in (*self._replaced, getattr(self, "_reader", None), getattr(self, "writer", None)):
            if connection is not None:
                connection.close()

    def _is_ours(self) -> bool:
        try:
            return os.stat(self.path).st_ino == self._inode
        except FileNotFoundError:
            return False

    def _move_aside(self, reason: str) -> None:
        """Move the file out of the way, for whoever wants to look at it."""
        aside = f"{self.path}.damaged-{time.strftime('%Y%m%dT%H%M%S')}"
        for suffix in ("", "-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                os.rename(self.path + suffix, aside + suffix)
        logger.error("history damaged: reason=%s moved_to=%s", reason, aside)
        self.warnings.append(f"the history was damaged ({reason}); it was moved to {aside!r} and is being rebuilt")
        self.is_new = True

    def _remove_companions(self) -> None:
        """Remove what belongs to a file that is gone; SQLite would take it for the new one's."""
        for suffix in ("-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path + suffix)


@contextlib.contextmanager
def translated(database: Database | None = None) -> Iterator[None]:
    """Turn what SQLite and the disk say into a HistoryError; `database` remembers damage, for `renew`."""
    try:
        yield
    except sqlite3.Error as error:
        raise (HistoryError(str(error)) if database is None else database.note(error)) from error
    except OSError as error:
        raise HistoryError(error.strerror or str(error)) from error


class _UnusableError(Exception):
    """The file can be read, and is not what it should be."""


def _code(error: sqlite3.Error) -> int:
    """Return SQLite's primary result code; 0 for an error of the module itself."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


# Of each connection. SQLite's own 2 MiB fill up within a few hundred jobs and are no quicker: the kernel has the file.
_CACHE_KIB = 256


def _connect(path: str, first: str = "") -> sqlite3.Connection:
    """Return a connection on which `first` has been asked; none is left open when that fails."""
    connection = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
    with contextlib.ExitStack() as on_error:
        on_error.callback(connection.close)
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        connection.execute(first).fetchone()
        os.chmod(path, 0o600)
        on_error.pop_all()
    return connection


def _migrate(connection: sqlite3.Connection) -> None:
    """Apply the migrations that the database does not have yet, each in its own transaction."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    newest = 0
    for path in migrations():
        newest = int(os.path.basename(path).split("_")[0])
        if newest > version:
            with open(path) as file:
                script = file.read()
            connection.executescript(f"BEGIN;\n{script}\nPRAGMA user_version = {newest};\nCOMMIT;")
    if version > newest:
        raise _UnusableError(f"it has schema {version}, this version knows {newest}")


def migrations() -> list[str]:
    """Return the paths of the migration files, in order. (importlib.resources costs 6 ms of each start.)"""
    folder = os.path.join(os.path.dirname(__file__), "migrations")
    return sorted(os.path.join(folder, name) for name in os.listdir(folder) if name.endswith(".sql"))
