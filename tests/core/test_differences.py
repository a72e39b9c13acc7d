"""What an edit changed, as text in the ledger."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from core import differences

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


def test_only_what_differs_is_told():
    text = differences.told(" the new release ", {"setup": "a\nb\nc\n"}, {"setup": "a\nx\nc\n"})
    reason, lines = differences.parted(text)
    assert reason == "the new release"
    assert lines == ["--- setup before", "+++ setup after", "@@ -1,3 +1,3 @@", " a", "-b", "+x", " c"]


def test_flags_and_lists_are_told_as_people_read_them():
    before, after = {"active": True, "parameters": [["-n", "3"]]}, {"active": False, "parameters": [["-n", "4"]]}
    _, lines = differences.parted(differences.told("why", before, after))
    for line in ("-yes", "+no", '-["-n", "3"]', '+["-n", "4"]'):
        assert line in lines


def test_a_text_without_a_difference_is_all_reason():
    assert differences.parted("looks right") == ("looks right", [])


@given(TEXT.map(str.strip).filter(lambda text: differences.BEGIN not in text + "\n\n"), TEXT, TEXT)
def test_a_reason_and_any_change_come_apart_again(reason, old, new):
    if old == new:
        return
    told = differences.told(reason, {"setup": old}, {"setup": new})
    found, lines = differences.parted(told)
    assert found == reason
    assert lines[0] == "--- setup before"
    assert any(line.startswith(("+", "-")) for line in lines[2:])


def test_a_difference_between_two_texts_has_no_names_of_files():
    assert differences.between("a\nb\n", "a\nc\n") == ["@@ -1,2 +1,2 @@", " a", "-b", "+c"]
    assert differences.between("a\n", "a\n") == []
