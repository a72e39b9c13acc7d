"""What each role may do, as data (requirements.md "Who uses it"). Pure."""

from __future__ import annotations

PERMISSIONS = {
    "view_overview": "see that campaigns exist and how far they are",
    "view": "see everything of the experiment: requests, campaigns, jobs, logs",
    "file_request": "file, edit, clone and withdraw own requests",
    "check_request": "check any request and correct it",
    "return_request": "send a request back for correction",
    "decide_request": "accept, reject, join and split requests of the production stages registered for",
    "prioritise_request": "change the priority of a request, and let a keep-up request go on",
    "define": "define campaigns, job types and launch set-ups",
    "define_own": "define campaigns of one's own, run under the own account",
    "operate": "launch, recover, kill, cancel, prioritise, declare files",
    "watch": "hold, release, relaunch",
    "sign_off": "sign off the outputs of a stage, or refuse them",
    "administer": "manage the experiment's people, roles and services",
}

ROLES: dict[str, tuple[str, ...]] = {
    "experimenter": ("view_overview", "view", "file_request"),
    "approver": (
        "view_overview",
        "view",
        "file_request",
        "return_request",
        "decide_request",
        "prioritise_request",
        "sign_off",
    ),
    "operator": (
        "view_overview",
        "view",
        "file_request",
        "check_request",
        "return_request",
        "prioritise_request",
        "define",
        "operate",
        "watch",
    ),
    "shifter": ("view_overview", "view", "watch"),
    "analyser": ("view_overview", "view", "file_request", "define_own"),
    "reviewer": ("view_overview", "view", "sign_off"),
    "service_provider": ("view_overview",),
    "supervisor": ("view_overview", "view"),
    "guest": ("view_overview",),
    "administrator": ("view_overview", "view", "administer"),
}

# These are held for the whole service, not for one experiment.
EVERYWHERE = ("supervisor", "guest", "administrator")


def roles_with(permission: str) -> list[str]:
    """Return the roles that carry a permission: what to name to somebody who lacks it."""
    return [role for role, granted in ROLES.items() if permission in granted]
