"""What tells the rows of a seal apart, so that one that was altered, deleted or added can be named.

A seal's digest says only that something of its rows is not as it was. Beside it lie, in one row of a table, the ids of
its rows and eight bytes of the hash of each. They prove nothing by themselves, for the digest does; they say where to
look.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Collection, Iterable, Sequence
from itertools import accumulate, pairwise

from core.models import Seal, SealedRows

SIZE = 8  # bytes of a row's hash: one in 10^19 alterations goes unlocated, and none undiscovered


def keep(seal: Seal, rows: Sequence[tuple[object, ...]]) -> None:
    """Write down the rows of a seal, in the caller's transaction: partition, transaction, id, and the rest of each.

    They lie partition by partition, as the seal counts them, so that their place says in which one a row was.
    """
    in_parts = sorted(rows, key=lambda row: str(row[0]))
    ids = [int(str(row[2])) for row in in_parts]
    SealedRows.objects.create(seal=seal, ids=packed(ids), hashes=b"".join(map(hash_of, in_parts)))


def hash_of(row: tuple[object, ...]) -> bytes:
    """Return the eight bytes by which a row is known again, in whatever partition it lies."""
    return hashlib.sha256(json.dumps(row[1:]).encode()).digest()[:SIZE]


def known(seal: Seal, dropped: Collection[str] = ()) -> dict[int, bytes] | None:
    """Return the hashes of a seal's rows by their ids, as they were when it was made; None for one from before that.

    Rows of dropped partitions are left out. ValueError where somebody has been at them.
    """
    kept = SealedRows.objects.filter(seal=seal).first()
    if kept is None or seal.parts is None:
        return None
    hashes = bytes(kept.hashes)
    pieces = (hashes[at : at + SIZE] for at in range(0, len(hashes), SIZE))
    places = (part for part, (number, _) in sorted(seal.parts.items()) for _ in range(number))
    told = zip(unpacked(bytes(kept.ids)), pieces, places, strict=True)
    return {key: piece for key, piece, part in told if part not in dropped}


def packed(ids: Sequence[int]) -> bytes:
    """Return ids in little room: most follow one upon another."""
    steps = [*ids[:1], *(later - before for before, later in pairwise(ids))]
    return zlib.compress(json.dumps(steps, separators=(",", ":")).encode())


def unpacked(packed_ids: bytes) -> Iterable[int]:
    """Return the ids again; ValueError where somebody has been at them."""
    try:
        return accumulate(json.loads(zlib.decompress(packed_ids)))
    except zlib.error as error:
        raise ValueError(f"the ids of the sealed rows cannot be read: {error}") from error
