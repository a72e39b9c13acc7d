"""The admin of how an experiment does it: policy and packages for administrators, templates for production."""

from __future__ import annotations

from approvals.admin_forms import PackageForm, PolicyForm, TemplateForm
from approvals.logic import customising
from campaigns.admin import KeptAdmin, OneEachAdmin

ADMINISTERED = {"view": "view", "add": "administer", "change": "administer", "delete": "administer"}


class PolicyAdmin(OneEachAdmin):
    """What an experiment asks for before its work runs."""

    rules = ADMINISTERED
    kind = "policy"
    words = ("policy", "policies")
    lead = "Without a policy every request needs an approver, and nothing is tested or confirmed by itself."
    form = PolicyForm
    keep = staticmethod(customising.keep_policy)
    edit = staticmethod(customising.change_policy)
    list_display = ("__str__", "without_approval", "confirm", "test_size", "last_edit")
    search_fields = ("experiment__name",)


class PackageAdmin(KeptAdmin):
    """Packages of code that the experiment has named as production (P2)."""

    rules = ADMINISTERED
    kind = "package"
    words = ("package", "packages")
    lead = "Requests name a package and a release tag in it; the check report looks whether the tag exists."
    form = PackageForm
    keep = staticmethod(customising.keep_package)
    edit = staticmethod(customising.change_package)
    list_display = ("__str__", "url", "active", "last_edit")
    search_fields = ("name", "url")


class TemplateAdmin(KeptAdmin):
    """Definitions to begin a request with."""

    kind = "template"
    words = ("template", "templates")
    lead = (
        "Where a definition says “requested” (dataset_or_split_data, software_version, memory_mb, events, name), what"
        " the request says is filled in."
    )
    form = TemplateForm
    keep = staticmethod(customising.keep_template)
    edit = staticmethod(customising.change_template)
    list_display = ("__str__", "title", "production_stage", "active", "last_edit")
    search_fields = ("name", "title", "about")
