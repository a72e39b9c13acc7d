"""What can be set of each kind of batch system: names, what they mean, and what kind of value each is."""

from __future__ import annotations

from collections.abc import Mapping

from integrations.declared import Setting

_SLOTS: Mapping[str, Setting] = {
    "slots": Setting("how many slots there are for us, where the system does not say", kind="number"),
    "memory_mb": Setting("the most memory that a job can have there", kind="number"),
}
_MONITOR: Mapping[str, Setting] = {
    "lens": Setting("address of Landscape's GraphQL, which tells of the jobs in the system's stead"),
    "lens_group": Setting("the group as Landscape has it; without one, that of jobsub"),
    "lens_follow": Setting(
        "summary: jobs are asked for where counters have moved; jobs: all, at each look", choices=("summary", "jobs")
    ),
}
SETTINGS: Mapping[str, Mapping[str, Setting]] = {
    "local": {},
    "htcondor": {
        "schedds": Setting("names of its schedds, as condor_status -schedd shows them", obligatory=True, kind="words"),
        "collectors": Setting("addresses of its collectors; without any, those of the configuration", kind="words"),
        "config": Setting("path of the configuration that says how we are known there"),
        "log_folders": Setting("folders below which logs of jobs may be read", kind="words"),
        "event_logs": Setting('the EVENT_LOG of each schedd: {"schedd01.example.org": "/path"}', kind="object"),
        "onsite_sites": Setting("sites that count as onsite", kind="words"),
        "site_attribute": Setting("the attribute of a job that says its site", "GLIDEIN_Site"),
        **_SLOTS,
        **_MONITOR,
    },
    "jobsub": {
        "group": Setting("jobsub's name of the experiment", obligatory=True),
        "schedds": Setting("names of its schedds: what follows the @ in ids of jobs", obligatory=True, kind="words"),
        "role": Setting("the role that is asked for with tokens"),
        "path": Setting("folder of the jobsub commands on the workers"),
        "token_file": Setting("path of a token on the workers; without one, jobsub gets its own"),
        "environment": Setting("what else its commands find in their environment, as JSON", kind="object"),
        "onsite_sites": Setting("sites that count as onsite", kind="words"),
        **_SLOTS,
        **_MONITOR,
    },
    "slurm": {
        "commands": Setting("folder of squeue, sacct and scontrol on the workers"),
        "conf": Setting("path of slurm.conf"),
        "cluster": Setting("its name, as sacctmgr shows it; without one, that of the batch system"),
        "accounting": Setting("whether it has accounting; without, nobody knows that a job never was", kind="yes_no"),
        "history_days": Setting("how far back the accounting is asked, by default 14", kind="number"),
        "users": Setting("accounts whose jobs are ours", kind="words"),
        "wckey": Setting("whether jobs carry our mark as wckey, too", kind="yes_no"),
        "nice": Setting("how much lower than others our jobs stand", kind="number"),
        "kinds": Setting('what kinds of slots are called there: {"onsite": {"partition": "near"}}', kind="object"),
        "sites": Setting('what sites are called there: {"BNL": {"constraint": "bnl"}}', kind="object"),
        "site": Setting("the site of jobs for which sites says none"),
        "logs": Setting("folders below which logs of jobs may be read", kind="words"),
    },
}  # fmt: skip
