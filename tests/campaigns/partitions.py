"""What every split must hold to (T4): inputs of all kinds, and the properties of what is cut from them."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st

from campaigns.splitting import Input, Split, cut

INPUTS = st.lists(
    st.builds(
        Input, rank=st.just(0), events=st.none() | st.integers(0, 50), size=st.none() | st.integers(0, 900),
        run=st.none() | st.integers(1, 6), taken_at=st.none() | st.floats(0, 20_000), value=st.none() | st.sampled_from("ab"),
        dataset=st.sampled_from(["first", "second"]),
    ),
    max_size=60,
).map(lambda found: [entry._replace(rank=rank) for rank, entry in enumerate(found)])  # fmt: skip


def is_one(split: Split, inputs: Sequence[Input], *, closed: bool = True, now: float = 0.0) -> None:
    """Hold that each input is in one slice, or left out, or waits; none waits once nothing more may come."""
    found = cut(split, inputs, closed=closed, now=now)
    members = [place for part in found.slices for place in part.members]
    assert len(members) == len(set(members))
    assert set(members) <= set(range(len(inputs)))
    assert len(members) + found.left_out.total() + found.waiting == len(inputs)
    assert all(len(part.members) for part in found.slices)
    if closed:
        assert found.waiting == 0


def is_one_in_two_looks(split: Split, inputs: Sequence[Input], *, now: float = 0.0) -> None:
    """Hold that what is cut while more may come and what waited for the end are together a partition."""
    early = cut(split, inputs, closed=False, now=now)
    taken = {place for part in early.slices for place in part.members}
    later = [entry for place, entry in enumerate(inputs) if place not in taken]
    rest = cut(split, later, closed=True)
    assert len(taken) + rest.taken + rest.left_out.total() == len(inputs)
    if not split.what.once:  # those take one slice a look
        assert rest.left_out == cut(split, inputs).left_out
