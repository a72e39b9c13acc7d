"""Every old call that is answered: what does it, which permission that needs, and whether it may come by GET."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from django.http import HttpResponse

from poms_site.old_calls import defining, launching, reading, uploading
from poms_site.old_calls.asked import Asked


@dataclass(frozen=True)
class Call:
    """One old call. What only asks may come by GET; of what changes something, only what wrappers send so."""

    answer: Callable[[Asked], HttpResponse]
    permission: str = "view"
    by_get: bool = False


def _asks(answer: Callable[[Asked], HttpResponse]) -> Call:
    return Call(answer, by_get=True)


CALLS: dict[str, Call] = {
    # What the job wrapper sends.
    "get_submission_id_for": Call(launching.get_submission_id_for, "operate", by_get=True),
    "get_task_id_for": Call(launching.get_submission_id_for, "operate", by_get=True),
    "update_submission": Call(launching.update_submission, "operate", by_get=True),
    # What agents and client scripts ask.
    "submission_details": _asks(reading.submission_details),
    "campaign_stage_submissions": _asks(reading.campaign_stage_submissions),
    "session_status_history": _asks(reading.session_status_history),
    "show_campaigns": _asks(reading.show_campaigns),
    "show_campaign_stages": _asks(reading.show_campaign_stages),
    "get_campaign_id": _asks(reading.get_campaign_id),
    "get_campaign_name": _asks(reading.get_campaign_name),
    "get_campaign_stage_id": _asks(reading.get_campaign_stage_id),
    "get_campaign_stage_name": _asks(reading.get_campaign_stage_name),
    "get_campaign_list": _asks(reading.campaign_list),
    "campaign_list_json": _asks(reading.campaign_list),
    "experiment_list": _asks(reading.experiment_list),
    "running_submissions": _asks(reading.running_submissions),
    "campaign_deps_ini": _asks(reading.campaign_deps_ini),
    "held_launches": _asks(reading.held_launches),
    "list_launch_file": _asks(reading.list_launch_file),
    "jobtype_list": _asks(reading.jobtype_list),
    "loginsetup_list": _asks(reading.loginsetup_list),
    # What they do.
    "update_submissions": Call(launching.update_submissions, "operate"),
    "launch_jobs": Call(launching.launch_jobs, "operate"),
    "launch_campaign": Call(launching.launch_campaign, "operate"),
    "launch_recovery_for": Call(launching.launch_recovery_for, "operate"),
    "force_locate_submission": Call(launching.force_locate_submission, "operate"),
    "kill_jobs": Call(launching.kill_jobs, "watch"),
    "mark_campaign_hold": Call(launching.mark_campaign_hold, "watch"),
    "ini_to_campaign": Call(defining.ini_to_campaign, "file_request"),
    "register_poms_campaign": Call(defining.register_poms_campaign, "file_request"),
    "update_campaign_stage": Call(defining.update_campaign_stage, "file_request"),
    "update_stage_param_overrides": Call(defining.update_stage_param_overrides, "file_request"),
    "link_tags": Call(defining.link_tags, "file_request"),
    "job_type_edit": Call(defining.job_type_edit, "define"),
    "job_type_rm": Call(defining.job_type_rm, "define"),
    "login_setup_edit": Call(defining.login_setup_edit, "define"),
    "launch_template_edit": Call(defining.login_setup_edit, "define"),
    "login_setup_rm": Call(defining.login_setup_rm, "define"),
    # The files of analyses.
    "file_uploads": Call(uploading.file_uploads, "define_own", by_get=True),
    "download_file": Call(uploading.download_file, "define_own", by_get=True),
    "upload_file": Call(uploading.upload_file, "define_own"),
    "remove_uploaded_files": Call(uploading.remove_uploaded_files, "define_own"),
}

# What has no counterpart: 410, with what to use instead.
GONE = {
    "modify_job_type_recoveries": f"Recoveries are part of a campaign's definition; {defining.IN_TEXT}.",
    "campaign_stage_edit": "Stages are edited in the definition: ini_to_campaign, `poms campaign import`, the editor.",
    "campaign_definition_edit": "Use job_type_edit.",
    "campaign_edit": "Use ini_to_campaign, or `poms campaign import`.",
    "campaign_rm": "Use `poms campaign delete`, which deletes what was never asked for.",
    "save_campaign": "Use ini_to_campaign, or `poms campaign import`.",
    "gui_wf_edit": "The editor is on the campaign's page.",
    "gui_wf_clone": "Use `poms campaign clone`.",
    "campaign_overview": "Use `poms campaign show`, or /api/v1/campaigns/.",
    "campaign_add_name": "Use register_poms_campaign, or `poms campaign import`.",
    "reset_campaign_split": "A stage has no cursor: POMS keeps what was done. Use `poms campaign process-again`.",
    "update_campaign_split": "A stage has no cursor: POMS keeps what was done. Use `poms campaign process-again`.",
    "schedule_launch": "A schedule is part of the definition: the key schedule. See `poms schedule list`.",
    "update_launch_schedule": "A schedule is part of the definition: the key schedule. See `poms schedule pause`.",
    "mark_campaign_active": "Use `poms campaign archive` and `unarchive`.",
    "make_stale_campaigns_inactive": "Use `poms campaign archive`.",
    "set_job_launches": "Use `poms campaign hold`; who may, holds an experiment.",
    "launch_queued_job": "What was held is launched by itself, once it is released.",
    "held_launches_remove": "Use `poms submission kill` for a launch that is not wanted.",
    "abort_launch": "Use `poms submission kill`.",
    "launch_jobs_commands": "Use `poms stage commands`: it shows what a launch would run, and takes nothing.",
    "launch_login_setup": "Use `poms setup test`.",
    "wrapup_tasks": "POMS completes what is complete by itself.",
    "mark_failed_submissions": "POMS notices launches that failed by itself.",
    "calculate_dd_project_completion": "POMS asks the Data Dispatcher by itself.",
    "campaign_stage_datasets": "Use /api/v1/submissions/.",
    "show_dimension_files": "Use `poms data query`.",
    "watch_campaign": "Use `poms request watch`.",
    "delete_campaigns_tags": "Use `poms campaign untag`.",
    "search_tags": "Use `poms campaign list --tag`.",
    "auth": "Sign in with a token of POMS: `poms token create`.",
    "poll_oidc_status": "Sign in with a token of POMS: `poms token create`.",
    "update_session_experiment": "There is no session: name the experiment in the call.",
    "update_session_role": "There is no session: what you may do comes from your roles.",
}
