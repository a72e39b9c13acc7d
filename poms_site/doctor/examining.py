"""Every check of an installation in one go: what cannot be looked at is a finding, too, and stops no other check."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from django.db import Error as DatabaseError

from poms_site.doctor import certificates, configured, database, disks, outside, working
from poms_site.doctor.finding import BROKEN, Finding

Check = Callable[[], Iterable[Finding]]
# By the word that `--only` takes; those of the second table ask the database.
ALONE: dict[str, Check] = {"settings": configured.configuration, "disk": disks.folders, "database": database.answers}
ASKING: dict[str, Check] = {
    "tables": database.tables,
    "clocks": database.clocks,
    "loops": working.loops,
    "troubles": working.troubles,
    "credentials": outside.credentials,
    "hosts": outside.hosts,
    "batch-systems": outside.batch_systems,
    "services": outside.services,
    "certificates": certificates.certificate_ends,
}
NAMES = (*ALONE, *ASKING)


def examine(only: Iterable[str] = ()) -> Iterator[Finding]:
    """Give what the checks find, all of them or some by name; without a database, what asks it is left out."""
    wanted = set(only) or set(NAMES)
    for name, check in ALONE.items():
        if name in wanted and name != "database":
            yield from check()
    if not wanted & {"database", *ASKING}:
        return
    found = list(database.answers())
    if "database" in wanted or any(one.level == BROKEN for one in found):
        yield from found
    if any(one.level == BROKEN for one in found):
        return
    for name, check in ASKING.items():
        if name in wanted:
            try:
                yield from check()
            except DatabaseError as error:  # a table or a column that is not there yet; `tables` says what to do
                yield Finding(name, BROKEN, f"It cannot be looked at: {str(error).strip()}", "Mend the database first.")
