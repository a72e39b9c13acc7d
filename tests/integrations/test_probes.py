"""Probes of a launch host over real ssh: it answers, a path can be read there, a disk has room."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from integrations.errors import OutsideError
from integrations.models import LaunchHost
from integrations.probes.base import DOWN, UP, Asked
from integrations.probes.places import Disk, HostProbe, PathProbe
from tests.servers import sshd

pytestmark = [pytest.mark.live, pytest.mark.django_db]


@pytest.fixture(scope="module")
def server() -> Iterator[sshd.Sshd]:
    with tempfile.TemporaryDirectory(prefix="poms sshd ") as name, sshd.running(Path(name)) as found:
        yield found


@pytest.fixture
def there(cast, server, tmp_path, settings, monkeypatch) -> LaunchHost:
    """A launch host on loopback, whose key the worker has by its name."""
    settings.STATE_DIR = tmp_path / "state"
    monkeypatch.setenv("POMS_CREDENTIAL_LOOP_FILE", str(server.key))
    return LaunchHost.objects.create(
        experiment=cast.experiment, name="loop", address="127.0.0.1", port=server.port, account="",
        home=str(tmp_path / "home"), credential="loop", known_hosts=server.known_hosts.read_text(),
    )  # fmt: skip


def test_a_host_that_answers_is_up_and_one_that_does_not_is_down(there):
    import getpass

    LaunchHost.objects.update(account=getpass.getuser())
    probe = HostProbe(Asked(there.experiment, {"host": "loop"}))
    assert probe.look(was_down=False).status == UP
    LaunchHost.objects.update(port=1)
    found = probe.look(was_down=False)
    assert found.status == DOWN and "does not answer" in found.said
    LaunchHost.objects.update(active=False)
    with pytest.raises(OutsideError):
        probe.look(was_down=False)


def test_a_path_and_a_disk_are_looked_at_over_there(there, tmp_path):
    import getpass

    LaunchHost.objects.update(account=getpass.getuser())
    folder = tmp_path / "it's a folder"
    folder.mkdir()
    path = PathProbe(Asked(there.experiment, {"host": "loop", "path": str(folder)}))
    assert path.look(was_down=False).status == UP
    folder.rmdir()
    found = path.look(was_down=False)
    assert found.status == DOWN and "cannot be read on loop" in found.said
    for least, status in (("0", UP), ("999999999", DOWN)):
        disk = Disk(Asked(there.experiment, {"host": "loop", "path": str(tmp_path), "least_mb": least}))
        assert disk.look(was_down=False).status == status
