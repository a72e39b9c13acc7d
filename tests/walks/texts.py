"""Blocks that are no commands: definitions, settings, queries, JSON, YAML; each read by the code that reads it in earnest."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import yaml

from approvals.parameters import declared as parameters
from approvals.states import REQUEST
from campaigns import definition
from campaigns.definition import values
from core.clock import now
from experiments.claims import rules_of
from integrations import declared, process
from integrations.batch.declared import SETTINGS as BATCH
from integrations.catalogue import declared as catalogues
from integrations.catalogue import filelist, metacat, sam
from integrations.catalogue.dimensions import parse
from integrations.models import Notice
from integrations.notices import webhook
from poms_site.embedded import find_install
from tests.walks import shell
from tests.walks.pages import HOME, Block

# A definition into which a piece of one fits.
AROUND = (
    "[campaign]\nexperiment=demo\nname=tiny\n[campaign_stage reco]\njob_type=tiny\nlogin_setup=local\n"
    "dataset_or_split_data=raw\n{piece}\n[job_type tiny]\nlaunch_script=tiny_submit\n[login_setup local]\n"
)
HEAD = "[campaign]\nexperiment=demo\n{name}\n[campaign_defaults]\njob_type=tiny\nlogin_setup=local\n"
TAIL = "\n[job_type tiny]\nlaunch_script=tiny_submit\n[login_setup local]\n"


def definition_text(block: Block) -> None:
    """Read a definition, or a piece of one, as an import does."""
    text = block.text
    keys = {line.partition("=")[0] for line in text.splitlines()}
    if "[campaign]" in text:
        text += "" if "[login_setup" in text else "[login_setup local]\n"
    elif "[campaign_stage" in text:
        text = HEAD.format(name="name=tiny") + text + TAIL
    elif keys <= set(values.CAMPAIGN):
        text = HEAD.format(name=text) + "[campaign_stage gen]\nstage_type=generator\nevents=1\n" + TAIL
    else:
        text = AROUND.format(piece=text)
    parsed = definition.parse(text)
    said = [(p.field, p.message) for p in (*parsed.errors, *parsed.warnings, *definition.check(parsed.definition))]
    assert said == []


def is_json(block: Block) -> None:
    """Read JSON that shows what an API says."""
    json.loads(block.text)


def of_a_notice(block: Block) -> None:
    """Hold the keys of the document against those that are posted."""
    shown = json.loads(block.text)
    assert set(shown) == {"delivery", *webhook.document(Notice(created_at=now()))}
    assert set(shown["lines"][0]) == {"ref", "title", "link", "said", "by"}


def of_htcondor(block: Block) -> None:
    """Take the settings as an administrator enters them."""
    declared.as_given("htcondor batch system", BATCH["htcondor"], json.loads(block.text))


def of_slurm(block: Block) -> None:
    """Take the settings as an administrator enters them."""
    declared.as_given("slurm batch system", BATCH["slurm"], json.loads(block.text))


def of_roles(block: Block) -> None:
    """Read the rules of groups as the sign-in does."""
    targets = [
        target for said in json.loads(block.text).values() for target in (said if isinstance(said, list) else [said])
    ]
    assert len(rules_of(block.text)) == len(targets)


def of_sam(block: Block) -> None:
    """Read the settings of a link."""
    catalogues.read("sam", sam.SamCatalogue.SETTINGS, _lines(block.text))


def of_metacat(block: Block) -> None:
    """Read the settings of a link."""
    catalogues.read("metacat", metacat.SETTINGS, _lines(block.text))


def _lines(text: str) -> dict[str, str]:
    return dict(line.split(" = ", 1) for line in text.splitlines())


def of_a_list(block: Block) -> None:
    """Read a list of files."""
    assert len(filelist.parse(block.text)) == len(
        [line for line in block.text.splitlines() if not line.startswith("#")]
    )


def of_parameters(block: Block) -> None:
    """Read the parameters of a template."""
    found, problems = parameters(block.text)
    assert problems == [] and len(found) == len(block.text.splitlines())


def of_files(block: Block) -> None:
    """Read a question about files."""
    parse(block.text.strip())


def of_states(block: Block) -> None:
    """Hold the drawing against the states of a request, and its verbs against theirs."""
    words = set(re.findall(r"[a-z_]{4,}", block.text))
    assert set(REQUEST.states) <= words
    verbs = {move.verb for move in REQUEST.moves} | set(shell.root.get_command(None, "request").commands)
    assert words - set(REQUEST.states) - verbs - {"campaign", "runs"} == set()


def of_a_probe(block: Block) -> None:
    """Ask what an orchestrator would ask."""
    for probe in yaml.safe_load(block.text).values():
        assert shell.wrong_address(probe["httpGet"]["path"]) == []


def of_a_scrape(block: Block) -> None:
    """Read it as Prometheus does."""
    (job,) = yaml.safe_load(block.text)["scrape_configs"]
    assert job["authorization"]["credentials_file"] and job["static_configs"]


def of_alerts(block: Block) -> None:
    """Hold each figure that an alert goes by against those that there are."""
    code = (HOME / "poms_site/overview/measurements.py").read_text()
    for group in yaml.safe_load(block.text)["groups"]:
        for rule in group["rules"]:
            assert [name for name in re.findall(r"\bpoms_\w+", rule["expr"]) if f'"{name}"' not in code] == []


def of_postgresql(block: Block) -> None:
    """Hold each parameter against those that the PostgreSQL of the wheel knows."""
    told = process.run([str(find_install() / "bin" / "postgres"), "--describe-config"]).stdout.decode()
    known = {line.partition("\t")[0] for line in told.splitlines()}
    assert [name for name in _lines(block.text) if name not in known] == []


# By its page and how its first line begins.
READ: dict[tuple[str, str], Callable[[Block], Any]] = {
    ("docs/api/index.md", "{"): is_json,
    ("docs/guide/notices.md", "{"): of_a_notice,
    ("docs/operate/batch-htcondor.md", "{"): of_htcondor,
    ("docs/operate/batch-slurm.md", "{"): of_slurm,
    ("docs/operate/backup.md", "wal_level"): of_postgresql,
    ("docs/operate/backup.md", "restore_command"): of_postgresql,
    ("docs/operate/people.md", "{"): of_roles,
    ("docs/operate/catalogues.md", "url = "): of_sam,
    ("docs/operate/catalogues-metacat-rucio.md", "url = "): of_metacat,
    ("docs/operate/catalogues-metacat-rucio.md", "# name, path"): of_a_list,
    ("docs/guide/library.md", "release |"): of_parameters,
    ("docs/guide/queries.md", "data_tier"): of_files,
    ("docs/guide/requests.md", "draft "): of_states,
    ("docs/operate/observing.md", "livenessProbe"): of_a_probe,
    ("docs/operate/observing.md", "groups:"): of_alerts,
    ("docs/operate/metrics.md", "scrape_configs:"): of_a_scrape,
}
# What nothing here can read: each with why.
SHOWN = {
    ("docs/guide/campaigns.md", "campaign "): "a drawing of the parts",
    ("docs/guide/first-campaign.md", " gen "): "a drawing of the example's stages",
    (
        "docs/guide/first-campaign.md",
        "POMS serves",
    ): "what `make run` says; tests/e2e starts it and reads the same file",
    ("docs/guide/first-campaign-command-line.md", "POMS serves"): "the same",
    ("docs/guide/first-campaign-command-line.md", "demo/j28 "): "what a list says; the walk lists the same jobs",
    ("docs/guide/definition.md", "[campaign_stage gen] cs"): "what is said of a definition that is wrong",
    (
        "docs/operate/batch-htcondor.md",
        "COLLECTOR_HOST",
    ): "configuration of HTCondor; tests/servers/htcondor.py has its own",
    ("docs/operate/batch-htcondor.md", "EVENT_LOG "): "configuration of HTCondor",
    ("docs/operate/deploying.md", "[Service]"): "an addition to a unit of systemd",
    ("docs/operate/launch-hosts.md", "restrict,from"): "a line for sshd",
    ("docs/operate/observing.md", "location ="): "configuration of nginx; tests/deploy starts the one that is deployed",
    ("docs/operate/people.md", "ssl_verify_client"): "configuration of nginx",
}


def reader(block: Block) -> Callable[[Block], Any] | None:
    """Return what reads a block, or None."""
    for_all = definition_text if block.language == "ini" else None
    return next((READ[key] for key in READ if block.page == key[0] and block.first.startswith(key[1])), for_all)


def is_shown(block: Block) -> bool:
    """Tell whether a block is one of those that nothing here can read."""
    return any(block.page == page and block.first.startswith(begin) for page, begin in SHOWN)
