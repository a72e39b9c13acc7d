"""Where the address and the token come from, and who can read them."""

from __future__ import annotations

import os

import pytest
from poms_client import UsedWrongly, settings


@pytest.fixture
def home(tmp_path, monkeypatch):
    for name in ("POMS_URL", "POMS_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "a folder"))
    return tmp_path


def test_what_was_saved_is_loaded(home):
    settings.save("https://poms.example.org", 'a"strange\\token')
    assert settings.load() == settings.Settings("https://poms.example.org", 'a"strange\\token')


def test_nobody_else_can_read_the_file(home):
    before = os.umask(0)
    try:
        path = settings.save("https://poms.example.org", "token")
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert [entry.name for entry in path.parent.iterdir()] == ["config.toml"]


def test_a_file_that_others_can_read_is_mentioned(home, capsys):
    path = settings.save("https://poms.example.org", "token")
    path.chmod(0o644)
    settings.load()
    assert "others can read the token" in capsys.readouterr().err


def test_the_environment_goes_before_the_file(home, monkeypatch):
    settings.save("https://poms.example.org", "token")
    monkeypatch.setenv("POMS_TOKEN", "other")
    assert settings.load() == settings.Settings("https://poms.example.org", "other")


def test_a_token_goes_only_to_its_own_address(home, monkeypatch):
    settings.save("https://poms.example.org", "token")
    monkeypatch.setenv("POMS_URL", "https://poms.example.org/")
    assert settings.load().token == "token"
    monkeypatch.setenv("POMS_URL", "https://elsewhere.example.org")
    with pytest.raises(UsedWrongly, match=r"No token is known for https://elsewhere"):
        settings.load()


def test_without_settings_one_is_told_how_to_log_in(home):
    with pytest.raises(UsedWrongly) as caught:
        settings.load()
    assert "poms login" in caught.value.lines[0]


def test_a_file_by_hand_may_have_comments_and_both_quotes(home):
    path = settings.config_file()
    path.parent.mkdir(parents=True)
    path.write_text("# mine\n\nurl = 'https://poms.example.org'  # the test service\ntoken=\"a\\u0062c\"\n")
    path.chmod(0o600)
    assert settings.load() == settings.Settings("https://poms.example.org", "abc")


@pytest.mark.parametrize("line", ["url", "url = https://poms.example.org", "[poms]", 'url = "a\\q"'])
def test_a_line_that_is_no_pair_is_named(home, line):
    path = settings.config_file()
    path.parent.mkdir(parents=True)
    path.write_text(f"# mine\n{line}\n")
    with pytest.raises(UsedWrongly, match="line 2"):
        settings.load()


@pytest.mark.parametrize("given", ["soon", "-1", "nan", "inf"])
def test_seconds_are_a_number(given, monkeypatch):
    monkeypatch.setenv("POMS_TIMEOUT", given)
    with pytest.raises(UsedWrongly, match="POMS_TIMEOUT"):
        settings.seconds("POMS_TIMEOUT", 30.0)
