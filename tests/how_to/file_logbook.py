"""Logbook `file`: entries stand one below the other in a file of this machine."""

from __future__ import annotations

import fcntl
from datetime import datetime
from pathlib import Path

from core.errors import Problem
from integrations.errors import Unavailable
from integrations.logbooks.base import EntrySeen


class FileLogbook:
    """One experiment's file; it needs no credential, and the category begins each entry."""

    def __init__(self, url: str, credential: str, category: str) -> None:
        """Take the path of the file for its address."""
        self.file, self.category = Path(url), category

    @staticmethod
    def problems(url: str, credential: str, category: str) -> list[Problem]:
        """Return what is wrong with a path that leads nowhere."""
        path = Path(url)
        if path.is_absolute() and path.parent.is_dir():
            return []
        return [
            Problem(
                "book_url", f"there is no folder for {url[:60]}", "the whole path of a file, in a folder that is there"
            )
        ]

    def write(self, text: str, *, mark: str, since: datetime) -> EntrySeen:
        """Return the entry that bears this mark, written now if there is none: never a second one."""
        try:
            with self.file.open("a+", encoding="utf-8") as book:
                fcntl.flock(book, fcntl.LOCK_EX)  # two workers: the second finds what the first has written
                book.seek(0)
                lines = book.read().splitlines()
                marks = [line for line in lines if line.startswith("[poms-")]
                if f"[{mark}]" not in marks:
                    marks.append(f"[{mark}]")
                    book.write(f"{self.category}\n{text}\n[{mark}]\n")
        except OSError as error:
            raise Unavailable(f"{self.file} cannot be written: {error.strerror}", 300) from error
        return EntrySeen(str(marks.index(f"[{mark}]") + 1), "")


ROW = {
    "file": FileLogbook,
}
