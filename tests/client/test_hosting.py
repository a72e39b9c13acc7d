"""`poms host` and `poms system`: what is sent, and what is said of it."""

from __future__ import annotations

HOST = {"ref": "demo/mcprod@gpvm01", "name": "gpvm01", "account": "mcprod", "answers": False, "error": "no route"}


def body(service):
    return service.asked[-1].body


def test_a_host_is_added_with_its_keys(service, poms, tmp_path):
    service.on("POST", "launch-hosts/", service.Answer(HOST, 201))
    keys = tmp_path / "keys"
    keys.write_text("gpvm01 ssh-ed25519 AAAA\n")
    added = poms(
        "host", "add", "-e", "demo", "--name", "gpvm01", "--account", "mcprod", "--home", "/scratch/poms", "--keys",
        str(keys), "--set", "port:=2222", "-r", "there is room", "-q",
    )  # fmt: skip
    assert (added.code, added.out) == (0, "demo/mcprod@gpvm01\n")
    assert body(service) == {
        "experiment": "demo", "name": "gpvm01", "account": "mcprod", "home": "/scratch/poms", "port": 2222,
        "known_hosts": "gpvm01 ssh-ed25519 AAAA\n", "reason": "there is room",
    }  # fmt: skip


def test_what_a_host_lacks_is_said_before_anything_is_sent(service, poms):
    given = ("--name", "gpvm01", "--account", "mcprod", "--home", "/scratch/poms")
    lacking = poms("host", "add", "-e", "demo", *given)
    assert (lacking.code, "ssh-keyscan gpvm01 | poms host add --keys -" in lacking.err) == (64, True)
    assert poms("host", "add", *given, "--keys", "/nowhere").code == 64
    assert poms("host", "add", "-e", "demo", *given, "--keys", "/nowhere").code == 64
    assert poms("host", "change", "demo/mcprod@gpvm01", "-r", "x").code == 64
    assert poms("host", "remove", "demo/mcprod@gpvm01").code == 64
    assert service.asked == []


def test_a_host_is_listed_changed_and_removed(service, poms):
    service.pages("launch-hosts/", [HOST])
    assert "no route" in poms("host", "list", "-e", "demo").out
    service.on("PATCH", "launch-hosts/demo/mcprod@gpvm01/", service.Answer(HOST))
    service.on("POST", "launch-hosts/demo/mcprod@gpvm01/put_away/", service.Answer(HOST))
    assert poms("host", "change", "mcprod@gpvm01", "-e", "demo", "--home", "/b", "-r", "full").code == 0
    assert body(service) == {"home": "/b", "reason": "full"}
    assert poms("host", "remove", "demo/mcprod@gpvm01", "-r", "it is taken away").code == 0
    assert body(service) == {"reason": "it is taken away"}


def test_a_try_says_what_happened_and_fails_without_an_answer(service, poms):
    service.on(
        "POST", "launch-hosts/demo/mcprod@gpvm01/try/",
        service.Answer({**HOST, "answered": False, "said": "Connection\nrefused"}),
        service.Answer({**HOST, "answered": True, "said": "it answers"}),
    )  # fmt: skip
    failed = poms("host", "try", "demo/mcprod@gpvm01")
    assert (failed.code, failed.out) == (1, "demo/mcprod@gpvm01\tno answer\tConnection\\nrefused\n")
    passed = poms("host", "try", "demo/mcprod@gpvm01")
    assert (passed.code, passed.out) == (0, "demo/mcprod@gpvm01\tanswers\tit answers\n")


def test_a_batch_system_is_added_and_its_settings_changed_one_by_one(service, poms):
    standing = {"ref": "pool", "settings": {"schedd": "a", "pool": "p"}, "fingerprint": "f"}
    service.on("POST", "batch-systems/", service.Answer(standing, 201))
    service.on("GET", "batch-systems/pool/", service.Answer(standing))
    service.on("PATCH", "batch-systems/pool/", service.Answer(standing), service.Answer(standing))
    added = poms(
        "system", "add", "--name", "pool", "--backend", "htcondor", "--setting", "schedd=a", "--setting",
        'sites:={"BNL": {}}', "-r", "there is room",
    )  # fmt: skip
    assert added.code == 0
    assert body(service) == {
        "name": "pool", "backend": "htcondor", "settings": {"schedd": "a", "sites": {"BNL": {}}},
        "reason": "there is room",
    }  # fmt: skip
    changed = ("system", "change", "pool", "--setting", "schedd=b", "--setting", "pool=", "-r", "moved")
    assert poms(*changed).code == 0
    assert body(service) == {"settings": {"schedd": "b"}, "seen": "f", "reason": "moved"}
    assert poms("system", "change", "pool", "--inactive", "-r", "away").code == 0
    assert body(service) == {"active": False, "reason": "away"}
    wrong = poms("system", "show", "demo/pool")
    assert (wrong.code, "It looks like name." in wrong.err) == (64, True)
