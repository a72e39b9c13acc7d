"""The sections and keys that fife_launch itself knows (protocols 4.2 and 7). Pure."""

from __future__ import annotations

import re

MOST_TOLD = 100  # complaints of one kind; who has more mends these first

# Without these fife_launch ends at once.
REQUIRED = ("global", "submit", "executable")
# Names that it fills in by itself, most of them only in the job; shown as <name>.
GIVEN = ("_nthfile", "_fname", "_furi", "_uuid", "_process")
_OUTPUT = (
    "addoutput", "rename", "dest", "dest_uniq_rename", "declare_metadata", "add_metadata", "metadata_extractor",
    "add_to_dataset", "filter_metadata", "dataset_exclude", "add_location", "outputlist", "hash", "hash_alg",
    "parallel",
)  # fmt: skip
_WRAP = (
    "quals", "vers", "config", "getconfig", "dynamic_lifetime", "mix", "multifile", "with_gdb", "limit", "schema",
    "inputfile", "inputtar", "inputlist", "cvmfs-revision", "export", "setup", "spack-load", "spack-env-activate",
    "setup_local", "source", "self_destruct_timer", "prescript", "finally", "postscript", "debug", "ifdh_art",
    "data_dispatcher", "appname", "appfamily", "appvers", "userscript", "find_setups", "start_project_on",
    "end_project", "dry_run",
)  # fmt: skip
# What may stand in each section even if the file has it nowhere; None: anything, as environment variables.
KEYS: dict[str, tuple[str, ...] | None] = {
    "global": ("experiment", "group", "wrapper", "jobname", "includes"),
    "global_eval": None,
    "env_pass": None,
    "submit": (
        "G", "group", "role", "subgroup", "auth-methods", "global-pool", "devserver", "verbose", "debug", "job-info",
        "need-storage-modify", "need-scope", "c", "append_condor_requirements", "blocklist", "blacklist", "site",
        "onsite", "offsite", "resource-provides", "cpu", "gpu", "memory", "disk", "expected-lifetime", "timeout", "N",
        "maxConcurrent", "dataset-definition", "dataset_definition", "dataset", "dd-percentage", "dd-extra-dataset",
        "project-name", "dag", "d", "e", "f", "tar_file_name", "use-cvmfs-dropbox", "use-pnfs-dropbox",
        "tarball-exclusion-file", "l", "lines", "L", "log-file", "OS", "singularity-image", "apptainer-image",
        "no-singularity", "Q", "mail_never", "mail_on_error", "mail_always", "email-to", "generate-email-summary",
        "managed-token", "n", "no_submit", "no-env-cleanup", "overwrite-condor-requirements", "skip-check", "r", "i",
        "t", "cmtconfig", "n_files_per_job",
    ),
    "submit_dag": None,
    "job_setup": _WRAP,
    "sam_consumer": _WRAP,
    "data_dispatcher": (
        "task_id", "project", "dataset_query", "namespace", "parameter", "load_limit", "timeout", "wait_time",
        "wait_limit", "user",
    ),
    "job_output": _OUTPUT,
    "executable": ("name", "arg", "exe_stdout", "exe_stderr", "apptainer"),
    "prelaunch": ("script",),
    "poms_campaign_layer": None,
    "poms_get_task_id": None,
}  # fmt: skip
_NUMBERED = re.compile(r"(.+)_[0-9]{1,2}")


def bare(name: str) -> str:
    """Return a section or key without its number: `setup_1` and `setup_12` are both `setup` (protocols 7)."""
    match = _NUMBERED.fullmatch(name)
    return match[1] if match else name
