"""The log on a job's page: tail, pieces and search, with whatever the job printed made harmless."""

from __future__ import annotations

import pytest
from django.test import RequestFactory
from hypothesis import given
from hypothesis import strategies as st

from core.errors import Refused
from core.redaction import AROUND
from integrations.errors import Unavailable
from poms_site.web import logs
from poms_site.web.logs import MOST_HITS, PIECE, Wanted, read, wanted
from submissions.models import Job
from tests import builders


@pytest.fixture
def printed(monkeypatch):
    """Let a job have printed some bytes, handed out as the local daemon does; return how often it was asked."""

    def so(content, piece=PIECE):
        asked = []

        def fetch(job, stream, offset, length):
            asked.append((stream, offset, length))
            text = content[offset : offset + length] if stream == "out" else b"of stderr"
            return {"text": text.decode("utf-8", "replace"), "total": len(content)}

        monkeypatch.setattr(logs, "_fetch", fetch)
        monkeypatch.setattr(logs, "PIECE", piece)
        return asked

    return so


def lines(n):
    return "".join(f"line {i} of the log\n" for i in range(1, n + 1)).encode()


# --- Pieces ----------------------------------------------------------------------------------------------------


def test_a_short_log_is_shown_whole(printed):
    printed(b"one\ntwo\n")
    log = read(Job(), Wanted())
    assert (log.text, log.total, log.earlier, log.later, log.trouble) == ("one\ntwo\n", 8, None, None, "")


def test_the_tail_of_a_long_log_begins_with_a_whole_line(printed):
    content = lines(8000)
    asked = printed(content)
    log = read(Job(), Wanted())
    assert log.text == content[len(content) - PIECE :].decode().partition("\n")[2]
    assert log.text.endswith("line 8000 of the log\n")
    assert (log.end, log.later) == (len(content), None)
    assert log.earlier == len(content) - 2 * PIECE
    assert sum(length for _, _, length in asked) <= PIECE + AROUND  # what may begin before it is looked at too


def test_a_tail_without_any_line_end_is_shown_as_it_is(printed):
    printed(b"x" * (PIECE + 10))
    assert read(Job(), Wanted()).text == "x" * PIECE


def test_pieces_put_together_are_the_log(printed):
    content = lines(12_000)
    printed(content)
    found, offset = "", 0
    while offset is not None:
        log = read(Job(), Wanted(offset=offset))
        assert log.begin == offset
        found, offset = found + log.text, log.later
    assert found == content.decode()


def test_the_piece_before_the_first_begins_at_the_beginning(printed):
    printed(lines(12_000))
    assert read(Job(), Wanted(offset=10)).earlier == 0
    assert read(Job(), Wanted(offset=0)).earlier is None


def test_an_offset_behind_the_end_shows_nothing_and_leads_back(printed):
    printed(b"short\n")
    log = read(Job(), Wanted(offset=10**14))
    assert (log.text, log.begin, log.later, log.earlier) == ("", 6, None, 0)


# --- Search ----------------------------------------------------------------------------------------------------


def test_a_text_is_found_with_its_line_whatever_its_case(printed):
    printed(b"begin\nan ERROR here\nend\nanother error\n")
    hits = read(Job(), Wanted(find="error")).hits
    assert [(h.number, h.before, h.match, h.after) for h in hits] == [
        (2, "an ", "ERROR", " here"), (4, "another ", "error", ""),
    ]  # fmt: skip


@pytest.mark.parametrize("find", [".*", "a(b", "[x]", "\\d+", "c++", "$HOME", "^"])
def test_what_is_looked_for_is_no_pattern(printed, find):
    printed(f"plain\nhere {find} is\nplain\n".encode())
    assert [(hit.number, hit.match) for hit in read(Job(), Wanted(find=find)).hits] == [(2, find)]


@pytest.mark.parametrize("shift", range(-12, 4))
def test_a_text_across_the_border_of_two_pieces_is_found_once(printed, shift):
    content = b"x" * (200 + shift - 1) + b"\nthe needle is here\n" + lines(30)
    printed(content, piece=200)
    [hit] = read(Job(), Wanted(find="needle")).hits
    assert (hit.number, hit.before, hit.after) == (2, "the ", " is here")
    assert content[hit.offset :].startswith(b"the needle")


@pytest.mark.parametrize("shift", range(8))
def test_a_letter_of_several_bytes_across_the_border_is_found(printed, shift):
    content = b"x" * (97 + shift - 8) + b"\n" + "Zähler für größte Jets\n".encode() + lines(5)
    printed(content, piece=100)
    [hit] = read(Job(), Wanted(find="zähler für größte")).hits
    assert content[hit.offset :].startswith("Zähler".encode())


def test_a_hit_leads_to_its_line_also_behind_bytes_that_are_no_text(printed):
    content = b"\xff\xfe broken \x80\n" * 50 + b"the needle\n"
    printed(content, piece=64)
    [hit] = read(Job(), Wanted(find="needle")).hits
    assert (hit.number, content[hit.offset :]) == (51, b"the needle\n")


def test_hits_are_cut_at_the_most_of_them_even_in_one_piece(printed):
    printed(b"a\n" * 5000)
    log = read(Job(), Wanted(find="a"))
    assert len(log.hits) == MOST_HITS
    assert log.searched < log.total


def test_a_search_ends_at_its_limit_and_says_so(printed, monkeypatch):
    monkeypatch.setattr(logs, "SEARCHED", 1000)
    asked = printed(lines(500), piece=200)
    log = read(Job(), Wanted(find="line 400 "))
    assert (log.hits, log.searched) == ([], 1000)
    assert log.total == len(lines(500))
    assert len(asked) == 5


def test_the_last_line_needs_no_line_end(printed):
    printed(b"one\nlast word")
    assert [hit.number for hit in read(Job(), Wanted(find="last word")).hits] == [2]


@given(st.lists(st.text(st.characters(exclude_characters="\n\r", exclude_categories=["Cs", "Cc"]), max_size=30), max_size=12),
       st.integers(4, 50))  # fmt: skip
def test_every_line_that_has_the_text_is_found_and_no_other(texts, piece):
    texts = [text + "needle" if n % 2 else text for n, text in enumerate(texts)]
    content = "".join(text + "\n" for text in texts).encode()

    def fetch(job, stream, offset, length):
        return {"text": content[offset : offset + length].decode("utf-8", "replace"), "total": len(content)}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logs, "_fetch", fetch)
        patch.setattr(logs, "PIECE", piece)
        hits = read(Job(), Wanted(find="needle")).hits
    assert [hit.number for hit in hits] == [n for n, text in enumerate(texts, 1) if "needle" in text]
    assert all(content[hit.offset :].startswith(texts[hit.number - 1].encode()) for hit in hits)


# --- What jobs print -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b[1;38;5;208mbold\x1b[K", "bold"),
        ("dos\r\nlines\r\n", "dos\nlines\n"),
        ("10%\r20%\r", "10%\r20%\r"),
        ("a\x00b\x07c\x1b]0;title", "a\ufffdb\ufffdc\ufffd]0;title"),
        ("safe\u202eexe.txt", "safe\ufffdexe.txt"),
        ("tab\tand ümläut", "tab\tand ümläut"),
    ],
)  # fmt: skip
def test_colours_go_and_what_could_hide_something_is_seen(said, shown):
    assert logs.clean(said) == shown


def test_a_text_is_found_through_colours(printed):
    printed(b"plain\n\x1b[31mERR\x1b[1mOR\x1b[0m here\n")
    assert [hit.match for hit in read(Job(), Wanted(find="error here")).hits] == ["ERROR here"]


# --- The address -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "query", ["stream=both", "offset=-1", "offset=x", "offset=1e3", f"offset={'9' * 16}", "offset=%D9%A1"]
)
def test_an_address_that_no_log_has_is_refused(query):
    with pytest.raises(Refused, match="The log cannot be read"):
        wanted(RequestFactory().get(f"/?{query}"))


def test_what_is_asked_for_is_read_from_the_address():
    assert wanted(RequestFactory().get("/")) == Wanted("out", None, "")
    asked = RequestFactory().get("/", {"stream": "err", "offset": "7", "find": " " + "x" * 300})
    assert wanted(asked) == Wanted("err", 7, "x" * 200)


# --- The page --------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_daemon_that_does_not_answer_is_said_and_the_page_stands(world, cast, as_, text, settings, tmp_path):
    settings.LOCAL_SPOOL = tmp_path / "no daemon"
    job = world.own.ref("job").rpartition("/")[2]
    for query in ("", "?find=x", "?stream=err&offset=3"):
        answer = as_(cast.experimenter).get(f"/e/demo/jobs/{job}/{query}")
        assert answer.status_code == 200
        assert "The log cannot be read now: the local batch daemon does not answer" in text(answer)
        assert "local-01" in text(answer)


def test_trouble_is_a_sentence(monkeypatch):
    def fetch(*args):
        raise Unavailable("nobody answers")

    monkeypatch.setattr(logs, "_fetch", fetch)
    assert read(Job(), Wanted()).trouble == read(Job(), Wanted(find="x")).trouble == "nobody answers"


@pytest.mark.django_db
def test_html_in_a_log_is_text(world, cast, as_, printed):
    printed(b"<script>alert(1)</script> needle <b>&amp;\n")
    page, job = as_(cast.experimenter), world.own.ref("job").rpartition("/")[2]
    for query in ({}, {"find": "needle"}, {"find": "<b>"}, {"find": '"><script>'}):
        shown = page.get(f"/e/demo/jobs/{job}/", query).content.decode()
        assert "<script>alert" not in shown
        assert '"><script>' not in shown
        assert "&lt;script&gt;" in shown


@pytest.mark.django_db(transaction=True)
def test_the_log_of_a_real_job_is_read_and_searched(real_cast, local_system, drive, as_, text):
    stages = "[campaign_stage gen]\nstage_type=generator\nevents=1\nevents_per_job=1\nseed=7\n"
    said = 'for n in $(seq 9000); do echo "event $n of Zähler"; done; printf "\\033[31mlast words\\033[0m"; echo "$KEYS" > "$NAME"'
    builders.login_setup(real_cast, setup=f"export TINY_JOB='{said}'")
    campaign = builders.approved_campaign(real_cast, builders.definition(stages=stages))

    def ended():
        campaign.refresh_from_db()
        return campaign.state in ("succeeded", "failed")

    drive(ended)
    job = Job.objects.get()
    client = as_(real_cast.experimenter)
    address = f"/e/demo/jobs/{job.ref.rpartition('/')[2]}/"
    assert campaign.state == "succeeded"
    tail = text(client.get(address))
    assert "event 9000 of Zähler last words" in tail
    assert "event 1 of" not in tail
    assert "event 1 of Zähler event 2 of" in text(client.get(address, {"offset": "0"}))
    assert "line 4321 event 4321 of zÄHLER".lower() in text(client.get(address, {"find": "4321 of zähler"})).lower()
    assert "No line has “nowhere”" in text(client.get(address, {"find": "nowhere"}))
    assert "It has printed nothing" in text(client.get(address, {"stream": "err"}))


# --- Lines that are shared, errors, next and previous -----------------------------------------------------------


def test_a_line_is_shown_by_its_place_with_what_stands_around_it(printed):
    content = lines(20_000)
    printed(content)
    at = content.index(b"line 12345 of")
    log = read(Job(), Wanted(at=at))
    [here] = [line for line in log.lines if line.is_here]
    assert (here.offset, here.parts) == (at, [("line 12345 of the log", False)])
    assert len(log.lines) == logs.BEFORE + logs.AFTER
    assert all(content[line.offset :].startswith(line.parts[0][0].encode()) for line in log.lines)


@pytest.mark.parametrize("shift", range(6))
def test_places_of_lines_hold_behind_letters_of_several_bytes(printed, shift, monkeypatch):
    content = b"x" * shift + "Zähler für größte Jets 測定\n".encode() * 50 + b"the needle\n"
    printed(content, piece=64)
    monkeypatch.setattr(logs, "AHEAD", 40 + shift)
    at = content.index(b"the needle")
    log = read(Job(), Wanted(at=at))
    assert [line.parts for line in log.lines if line.is_here] == [[("the needle", False)]]


def test_from_a_hit_one_goes_to_the_next_and_back(printed):
    content = lines(30)
    printed(content)
    hits = read(Job(), Wanted(find="line 2")).hits
    assert [hit.number for hit in hits] == [2, *range(20, 30)]
    log = read(Job(), Wanted(find="line 2", at=hits[4].offset))
    assert (log.place, log.before, log.after) == (5, hits[3], hits[5])
    [here] = [line for line in log.lines if line.is_here]
    assert (here.number, here.parts) == (23, [("line 2", True), ("3 of the log", False)])
    assert read(Job(), Wanted(find="line 2", at=hits[0].offset)).before is None
    assert read(Job(), Wanted(find="line 2", at=hits[-1].offset)).after is None


@pytest.mark.parametrize(
    ("said", "looks"),
    [
        ("std::bad_alloc thrown", True), ("Traceback (most recent call last):", True), ("ValueError: no", True),
        ("FATAL: cannot open", True), ("Segmentation fault (core dumped)", True), ("all is well", False),
        ("terrors of the deep", False), ("job was Killed", True),
    ],
)  # fmt: skip
def test_lines_that_look_like_errors_are_marked_and_found(printed, said, looks):
    printed(f"begin\n{said}\nend\n".encode())
    assert [line.is_error for line in read(Job(), Wanted()).lines] == [False, looks, False]
    assert bool(read(Job(), Wanted(lines="errors")).hits) is looks


def test_transfers_are_found_by_their_tools(printed):
    printed(b"begin\nifdh: ifdh cp /a /b started\nxrdcp root://x\nend\n")
    assert [hit.number for hit in read(Job(), Wanted(lines="transfers")).hits] == [2, 3]


def test_a_piece_of_very_many_lines_is_shown_without_links(printed):
    printed(b"a\n" * 5000)
    log = read(Job(), Wanted())
    assert (log.lines, log.text.count("\n")) == ([], 5000)


@pytest.mark.parametrize("query", ["at=-1", "at=x", f"at={'9' * 16}", "lines=all"])
def test_a_place_or_kind_that_no_log_has_is_refused(query):
    with pytest.raises(Refused, match="The log cannot be read"):
        wanted(RequestFactory().get(f"/?{query}"))


@pytest.mark.django_db
def test_a_shared_line_is_marked_on_the_page_and_html_in_it_is_text(world, cast, as_, printed):
    content = lines(500) + b"<b>needle</b>\n" + lines(500)
    printed(content)
    at, job = content.index(b"<b>needle"), world.own.ref("job").rpartition("/")[2]
    shown = as_(cast.experimenter).get(f"/e/demo/jobs/{job}/", {"at": at, "find": "needle"}).content.decode()
    assert 'id="here"' in shown and "&lt;b&gt;<mark>needle</mark>&lt;/b&gt;" in shown
    assert 'data-n="501"' in shown and f"at={at}#here" in shown
