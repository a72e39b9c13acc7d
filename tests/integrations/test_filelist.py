"""Lists of files as datasets: what is read, what is never read, and what a list says no to."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integrations.catalogue.base import NOWHERE, ON_DISK, Attempt, FileSeen, Frozen
from integrations.catalogue.filelist import FileLists, parse
from integrations.errors import Refused, Unavailable


@pytest.fixture
def folder(settings, tmp_path: Path) -> Path:
    """The experiment's folder of lists, with one list and one of its files."""
    settings.FILE_LISTS, settings.LOCAL_FILES = tmp_path / "lists", tmp_path / "files"
    found = tmp_path / "lists" / "demo"
    (found / "2026").mkdir(parents=True)
    (found / "raw.txt").write_text(
        "# of run 713\n\nraw_2.root 200 20\nraw_1.root\t100\n/data/none.root\nroot://door.example.org//x/raw_3.root 300\n"
    )
    (found / "raw_1.root").write_bytes(b"x" * 100)
    return found


@pytest.fixture
def lists(folder: Path) -> FileLists:
    return FileLists(SimpleNamespace(name="demo"))


NAMES = ["/data/none.root", "raw_1.root", "raw_2.root", "root://door.example.org//x/raw_3.root"]


def test_a_list_is_a_dataset_with_and_without_the_prefix(lists):
    for name in ("raw.txt", "filelist:raw.txt"):
        assert lists.count(name) == 4
        assert [seen.name for seen in lists.files(name)] == NAMES
    first, second = lists.files("raw.txt")[1:3]
    assert ((first.size, first.events), (second.size, second.events)) == ((100, None), (200, 20))


def test_no_list_is_none(lists, settings, tmp_path):
    assert (lists.count("nothing.txt"), lists.freeze("nothing.txt"), lists.files("nothing.txt")) == (None, None, [])
    assert lists.count("raw.txt/x") is None
    settings.FILE_LISTS = tmp_path / "nowhere"
    assert FileLists(SimpleNamespace(name="demo")).count("raw.txt") is None


def test_a_relative_name_lies_beside_its_list(lists, folder):
    (folder / "2026" / "more.txt").write_text("a.root\n")
    assert lists.files("2026/more.txt")[0].path == str(folder / "2026" / "a.root")
    assert lists.files("raw.txt")[0].path == "/data/none.root"


def test_lines_that_are_wrong_are_named(lists, folder):
    (folder / "bad.txt").write_text("a.root\nb.root many\n\na.root 5\nc.root 1 2 3\n")
    with pytest.raises(Refused) as raised:
        lists.count("bad.txt")
    for words in ("line 2: after the name", "lines 1 and 4: a.root stands there twice", "line 5"):
        assert words in str(raised.value)


def test_what_is_no_text_is_refused(lists, folder):
    (folder / "bytes.txt").write_bytes(b"a.root\nb\xff.root\n")
    with pytest.raises(Refused, match="not UTF-8 in line 2"):
        lists.files("bytes.txt")
    (folder / "zero.txt").write_bytes(b"a\0b.root\n")
    with pytest.raises(Refused, match="line 1"):
        lists.files("zero.txt")


@pytest.mark.parametrize("name", ["../other/raw.txt", "/etc/passwd", "filelist:/etc/passwd", "2026/../raw.txt", "", ".hidden",
                                  "2026//raw.txt", "raw.txt\0", "filelist:", "./raw.txt", "2026/.x/y"])  # fmt: skip
def test_a_name_that_leads_out_is_refused(lists, folder, name):
    (folder.parent / "other").mkdir()
    (folder.parent / "other" / "raw.txt").write_text("secret.root\n")
    for ask in (lists.count, lists.freeze, lists.files, lambda n: lists.define(n, ["a.root"])):
        with pytest.raises(Refused, match="cannot be the name"):
            ask(name)


def test_links_are_not_followed(lists, folder, tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.txt").write_text("secret.root\n")
    (folder / "link.txt").symlink_to(tmp_path / "outside" / "secret.txt")
    (folder / "way").symlink_to(tmp_path / "outside")
    for name in ("link.txt", "way/secret.txt"):
        with pytest.raises(Refused, match="link"):
            lists.count(name)
    with pytest.raises(Refused, match="link"):
        lists.define("way/new.txt", ["a.root"])
    assert lists.known(["secret.root"]) == set()
    assert [path.name for path in (tmp_path / "outside").iterdir()] == ["secret.txt"]


def test_what_is_no_file_is_refused_and_nothing_hangs(lists, folder):
    os.mkfifo(folder / "pipe")
    for name in ("pipe", "2026"):
        with pytest.raises(Refused, match="no file"):
            lists.count(name)


def test_a_name_in_a_list_that_leads_up_is_refused(lists, folder):
    (folder / "up.txt").write_text("ok.root\n../../secret\n")
    with pytest.raises(Refused, match="outside its folder in line 2"):
        lists.files("up.txt")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_list_that_may_not_be_read_is_unavailable(lists, folder):
    (folder / "raw.txt").chmod(0)
    with pytest.raises(Unavailable):
        lists.count("raw.txt")


def test_a_list_that_has_changed_is_not_what_was_frozen(lists, folder):
    frozen = lists.freeze("raw.txt")
    assert frozen.files == 4
    assert len(frozen.mark) == 64
    assert [seen.name for seen in lists.files(frozen)] == NAMES
    with (folder / "raw.txt").open("a") as file:
        file.write("raw_9.root\n")
    with pytest.raises(Refused, match="has changed since it was frozen"):
        lists.files(frozen)
    (folder / "raw.txt").unlink()
    with pytest.raises(Refused, match="is gone"):
        lists.files(frozen)


def test_a_list_that_has_not_changed_has_no_news(lists, folder):
    first = lists.news("raw.txt", "")
    assert [seen.name for seen in first.files] == NAMES
    assert lists.news("raw.txt", first.mark).files == []
    with (folder / "raw.txt").open("a") as file:
        file.write("raw_9.root\n")
    assert "raw_9.root" in [seen.name for seen in lists.news("raw.txt", first.mark).files]


def test_files_are_known_from_all_lists_and_told(lists, folder):
    (folder / "2026" / "more.txt").write_text("a.root 7\n")
    (folder / "broken.txt").write_text("b.root x\n")
    assert lists.known(["a.root", "raw_1.root", "b.root", "nothing"]) == {"a.root", "raw_1.root"}
    assert lists.told(["a.root"])["a.root"].size == 7
    assert lists.like("raw_%.root,a%", 10) == ["a.root", "raw_1.root", "raw_2.root"]
    assert lists.like("%", 1) == ["/data/none.root"]


def test_where_files_are_is_looked_at_on_this_machine_only(lists):
    assert lists.residence([*NAMES, "nothing"]) == {
        "/data/none.root": NOWHERE, "raw_1.root": ON_DISK, "raw_2.root": NOWHERE
    }  # fmt: skip
    assert lists.absent("raw.txt", 10) == ["/data/none.root", "raw_2.root"]
    assert lists.absent("raw.txt", 1) == ["/data/none.root"]


def test_bytes_are_given_only_from_the_folder_of_lists_and_of_outputs(lists, folder, tmp_path):
    (tmp_path / "secret").write_text("x")
    (folder / "link.root").symlink_to(tmp_path / "secret")
    for experiment in ("demo", "other"):
        (tmp_path / "files" / experiment).mkdir(parents=True)
        (tmp_path / "files" / experiment / "out.root").write_text("x")
    assert lists.place(str(folder / "raw_1.root")) == folder / "raw_1.root"
    assert lists.place(str(tmp_path / "files" / "demo" / "out.root")) is not None
    for path in (
        str(tmp_path / "secret"),
        str(tmp_path / "files" / "other" / "out.root"),
        str(folder / "link.root"),
        str(folder / ".." / ".." / "secret"),
        "/etc/passwd",
    ):
        assert lists.place(path) is None


def test_what_it_cannot_do_it_says(lists):
    assert lists.can == set()
    for act in (lambda: lists.children(NAMES), lambda: lists.query("raw%"), lambda: lists.matching(NAMES, "x = 1"),
                lambda: lists.recall(NAMES)):  # fmt: skip
        with pytest.raises(Refused):
            act()


def test_an_output_is_accepted_if_it_is_where_it_says(lists, tmp_path):
    made = tmp_path / "reco.root"
    made.write_bytes(b"12345")
    good = FileSeen("reco.root", str(made), 5, parents=("raw_1.root",))
    wrong = [FileSeen("a", str(made), 6), FileSeen("b", str(tmp_path / "no.root"), 5), FileSeen("c")]
    assert lists.declare([good, FileSeen("d", "root://door.example.org//d", 5)]) == {}
    assert set(lists.declare([good, *wrong])) == {"a", "b", "c"}


def test_what_jobs_left_is_read_from_their_manifests(lists, tmp_path):
    (tmp_path / "reco.root").write_bytes(b"12345")
    (tmp_path / "u.0.manifest.json").write_text(json.dumps({"job": "1.0", "units": ["file:raw_1.root"], "outputs": [
        {"name": "reco.root", "path": str(tmp_path / "reco.root"), "size": 5}]}))  # fmt: skip
    attempt = Attempt("u", "poms_u", {"file:raw_1.root": "raw_1.root"}, "%", "", datetime.now(UTC), str(tmp_path))
    (entry,) = lists.produced(attempt)
    assert (entry.job, entry.outputs[0].name) == ("1.0", "reco.root")
    assert lists.fates(attempt) == {}


def test_a_list_is_written_once_and_never_over_another(lists, folder):
    lists.define("mine.txt", ["b.root", "a.root"])
    before = (folder / "mine.txt").stat().st_mtime_ns
    lists.define("mine.txt", ["b.root", "a.root"])
    assert ((folder / "mine.txt").read_text(), (folder / "mine.txt").stat().st_mtime_ns) == ("b.root\na.root\n", before)
    with pytest.raises(Refused, match="already, with other files"):
        lists.define("raw.txt", ["a.root"])
    assert "raw_2.root" in (folder / "raw.txt").read_text()
    assert [path.name for path in folder.iterdir() if path.name.endswith(".part")] == []


@pytest.mark.parametrize("names", [["a b.root"], [""], ["# no"], ["a.root", "a.root"], ["a\nb"], [" a"]])
def test_names_that_cannot_stand_in_a_list_are_refused(lists, names):
    with pytest.raises(Refused):
        lists.define("mine.txt", names)
    assert lists.count("mine.txt") is None


def test_an_attempt_is_offered_a_list_of_its_own(lists, folder):
    offer = lists.offer("poms_6a1c", NAMES)
    assert offer == lists.offer("poms_6a1c", NAMES)
    assert offer.dataset == "filelist:offered/poms_6a1c"
    assert Path(offer.environment["POMS_FILE_LIST"]).read_text().splitlines() == NAMES
    lists.offer("poms_7b2d", ["only_here.root"])
    assert lists.known(["only_here.root"]) == set()
    assert lists.freeze(offer.dataset) == Frozen(offer.dataset, lists.freeze(offer.dataset).mark, 4)


def test_another_experiment_has_lists_of_its_own(lists):
    assert FileLists(SimpleNamespace(name="other")).count("raw.txt") is None


def test_settings_that_are_none_are_refused():
    with pytest.raises(Refused, match="is not one of its settings"):
        FileLists(SimpleNamespace(name="demo"), {"folder": "/etc"})


name = st.text(st.characters(whitelist_categories=("L", "N"), whitelist_characters="._-/%:"), min_size=1).filter(
    lambda text: not text.startswith("#")
)


@given(
    st.lists(st.tuples(name, st.integers(0, 10**15), st.none() | st.integers(0, 10**9)), unique_by=lambda row: row[0])
)
def test_what_is_written_is_read(rows):
    text = "".join(f"{n}\t{size}" + ("" if events is None else f"\t{events}") + "\n# x\n\n" for n, size, events in rows)
    assert [(entry.name, entry.size, entry.events) for entry in parse(text)] == rows


@given(st.text())
def test_any_text_is_a_list_or_refused(text):
    try:
        entries = parse(text)
    except Refused:
        return
    assert len({entry.name for entry in entries}) == len(entries)
    assert all(entry.name == entry.name.strip() != "" for entry in entries)
