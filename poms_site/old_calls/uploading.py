"""Old calls about the files that come with somebody's analyses: each person's own, and nobody else's."""

from __future__ import annotations

from django.http import HttpResponse
from django.urls import reverse

from core.errors import NotVisible, Problem, Refused
from experiments.models import Experiment
from integrations.models import Upload
from integrations.uploads import keeping
from poms_site.old_calls import answers
from poms_site.old_calls.asked import Asked
from poms_site.overview.handing_over import as_file


def upload_file(asked: Asked) -> HttpResponse:
    """Keep the files of the form in the caller's area, and lead to its list."""
    experiment = _own_area(asked)
    given = asked.files.getlist("filename")
    if not given:
        raise Refused("Nothing was kept.", [Problem("filename", "is missing", "send the file as multipart form data")])
    for file in given:
        keeping.keep(experiment, asked.user, file.name, file.chunks(), declared=file.size)
    return _list_of(asked, experiment)


def download_file(asked: Asked) -> HttpResponse:
    """Return a file of the caller's area."""
    row = keeping.found(_own_area(asked), asked.user, asked.needed("filename"))
    return as_file(row.name, keeping.content_of(row.digest))


def remove_uploaded_files(asked: Asked) -> HttpResponse:
    """Take files of the caller's area away; who asks for it by `redirect` is led to its list."""
    experiment = _own_area(asked)
    asked.needed("filename")
    if asked.text("action", default="delete") != "delete":
        raise Refused("Nothing was done.", [Problem("action", "is not delete", "that is the only one")])
    for name in asked.all("filename"):
        keeping.remove(experiment, asked.user, name)
    return answers.text("Ok.") if asked.text("redirect") == "0" else _list_of(asked, experiment)


def file_uploads(asked: Asked) -> HttpResponse:
    """Return name, size and time of each file in the caller's area."""
    rows = Upload.objects.filter(experiment=_own_area(asked), user=asked.user).order_by("name")
    listed = [[row.name, row.size, f"{row.uploaded_at:%Y-%m-%dT%H:%M:%SZ}"] for row in rows]
    return answers.data({"file_stat_list": listed})


def _own_area(asked: Asked) -> Experiment:
    """Return the experiment in which the caller's area is; another person's is in no address."""
    experiment = asked.experiment()
    named = asked.path.get("username") or asked.text("username", default=asked.user.username)
    if named != asked.user.username:
        raise NotVisible(f"There are no uploads of {named[:60]} that you may see.")
    return experiment


def _list_of(asked: Asked, experiment: Experiment) -> HttpResponse:
    place = {"experiment": experiment.name, "role": "analysis", "username": asked.user.username}
    return answers.see_other(reverse("old-call-page", kwargs={"method": "file_uploads", **place}))
