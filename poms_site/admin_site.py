"""The admin: joins the admin classes of the apps into one site; who enters holds a right, staff flags mean nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.admin.views.autocomplete import AutocompleteJsonView
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.db import DataError, transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, include, path, re_path, reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_protect

from approvals.admin import RequestAdmin
from approvals.custom_admin import PackageAdmin, PolicyAdmin, TemplateAdmin
from approvals.models import Package, Policy, Request, Template
from approvals.queries import waiting_for
from campaigns.admin import DefaultsAdmin, JobTypeAdmin, LoginSetupAdmin
from campaigns.models import Defaults, JobType, LoginSetup
from core import errors
from core.redaction import refuse_secrets
from experiments.admin import ApproverAdmin, ExperimentAdmin, MembershipAdmin, PersonAdmin
from experiments.admin_service import CertificateAdmin, ServiceAccountAdmin
from experiments.models import Approver, Certificate, Experiment, Membership, ServiceAccount, User
from experiments.queries import is_administrator
from experiments.roles import roles_with
from experiments.scoped_admin import ScopedModelAdmin
from experiments.scoping import holds_anywhere
from integrations.admin import CatalogueLinkAdmin
from integrations.admin_hosts import BatchSystemAdmin, LaunchHostAdmin
from integrations.credentials.admin import CredentialAdmin
from integrations.models import BatchSystem, CatalogueLink, Credential, LaunchHost
from poms_site.markdown import remark
from poms_site.overview import request_facts
from poms_site.sessions import sign_in_address
from submissions.admin import ShareAdmin
from submissions.models import Share

ENTER = ("decide_request", "define", "administer")
SIGN_OUT = "/sign-out/"
HELP = "/docs/operate/admin/"
_ANSWERS: tuple[tuple[type[Exception], int, str], ...] = (
    (Http404, 404, "Not found"),
    (errors.NotVisible, 404, "Not found"),
    (PermissionDenied, 403, "Not allowed"),
    (errors.NotAllowed, 403, "Not allowed"),
    (errors.Conflict, 409, "Somebody was faster"),
    (errors.PomsError, 422, "Refused"),
    (DataError, 400, "The address cannot be read"),
)


class Autocomplete(AutocompleteJsonView):
    """Search for what a form may point to: the fields that search, for whoever may fill in the form."""

    def process_request(self, request: HttpRequest) -> Any:
        """Let only the fields through that a form of this site searches in."""
        term, target, field, name = super().process_request(request)
        source = site._registry.get(field.model)
        if not isinstance(source, ScopedModelAdmin) or field.name not in source.get_autocomplete_fields(request):
            raise PermissionDenied("No form searches here.")
        source.permit(request, "add")
        self.source = source
        return term, target, field, name

    def get_queryset(self) -> Any:
        """Return the matches among what the form would take."""
        rows = self.source.choices(self.request, self.source_field)
        return self.model_admin.get_search_results(self.request, rows, self.term)[0]


class PomsAdminSite(admin.AdminSite):
    """The site at /admin/."""

    site_title = "POMS admin"
    site_header = "POMS"
    index_title = "Admin"
    site_url = "/"
    enable_nav_sidebar = False
    empty_value_display = "–"

    def __init__(self, name: str = "admin") -> None:
        super().__init__(name)
        self.disable_action("delete_selected")

    def has_permission(self, request: HttpRequest) -> bool:
        """Tell whether the person has anything to do here."""
        known = request.__dict__
        if "poms_may_enter" not in known:
            known["poms_may_enter"] = holds_anywhere(request.user, ENTER)
        return bool(known["poms_may_enter"])

    def admin_view(self, view: Any, cacheable: bool = False) -> Any:
        """Wrap a view: sign in first, then the right to enter, and each refusal as a page that says why.

        Everything in one transaction, so that a value that no column can hold leaves nothing half done.
        """

        def inner(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if not request.user.is_authenticated:
                return HttpResponseRedirect(sign_in_address(request))
            try:
                self._let_in(request)
                with transaction.atomic():
                    answer: HttpResponse = view(request, *args, **kwargs)
                    return answer.render() if isinstance(answer, TemplateResponse) else answer
            except tuple(kind for kind, *_ in _ANSWERS) as error:
                return self._refuse(request, error)

        return csrf_protect(inner if cacheable else never_cache(inner))

    def _let_in(self, request: HttpRequest) -> None:
        if not self.has_permission(request):
            roles = dict.fromkeys(role for permission in ENTER for role in roles_with(permission))
            raise PermissionDenied(f"The admin is for people with the role {', '.join(roles)} in an experiment.")
        values = [request.path, *request.GET.values(), *(v for values in request.POST.lists() for v in values[1])]
        if any("\0" in str(value) for value in values):
            raise DataError("there is a NUL character in it")
        refuse_secrets(request.POST.items())

    def _refuse(self, request: HttpRequest, error: Exception) -> HttpResponse:
        status, title = next((status, title) for kind, status, title in _ANSWERS if isinstance(error, kind))
        sentence = str(error) or ("There is nothing here." if status == 404 else "You may not do this.")
        if isinstance(error, DataError):
            sentence = f"A value in it does not fit: {sentence.splitlines()[0]}. Nothing was changed."
        elif isinstance(error.args[0] if error.args else None, dict) and status == 404:
            sentence = "There is no such page here."
        context = {**self.each_context(request), "title": title, "sentence": sentence, "status": status}
        return TemplateResponse(request, "admin/refused.html", context, status=status).render()

    def get_urls(self) -> list[Any]:
        """Return the addresses; there is no password, no short cut to foreign objects, and no log of its own."""

        def wrap(view: Callable[..., Any], cacheable: bool = False) -> Any:
            wrapped = self.admin_view(view, cacheable)
            wrapped.admin_site = self
            return wrapped

        labels = dict.fromkeys(model._meta.app_label for model in self._registry)
        models = [
            path(f"{model._meta.app_label}/{model._meta.model_name}/", include(entry.urls))
            for model, entry in self._registry.items()
        ]
        found = [
            path("", wrap(self.index), name="index"),
            path("login/", _marked(self.login, self), name="login"),
            path("logout/", _marked(self.logout, self), name="logout"),
            path("autocomplete/", wrap(self.autocomplete_view), name="autocomplete"),
            path("jsi18n/", wrap(self.i18n_javascript, cacheable=True), name="jsi18n"),
            *models,
            re_path(rf"^(?P<app_label>{'|'.join(labels)})/$", wrap(self.app_index), name="app_list"),
            re_path(r"(?P<url>.*)$", wrap(self.catch_all_view), name="nowhere"),
        ]
        for entry in [*found, *(inner for outer in models for inner in outer.url_patterns)]:
            if isinstance(entry, URLPattern):
                # Each asks for itself who is signed in (admin_view), and keeps a form that comes too late.
                entry.callback.login_required = False  # type: ignore[attr-defined]  # Django's own marks of a view
        return found

    def login(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Send to where people sign in."""
        return redirect_to_login(reverse("admin:index", current_app=self.name), settings.LOGIN_URL)

    def logout(self, request: HttpRequest, extra_context: Any = None) -> Any:
        """Send to where people sign out; a POST stays one."""
        answer = HttpResponseRedirect(SIGN_OUT)
        answer.status_code = 307 if request.method == "POST" else 302
        return answer

    def autocomplete_view(self, request: HttpRequest) -> Any:
        """Answer a search of a form."""
        return Autocomplete.as_view(admin_site=self)(request)

    def index(self, request: HttpRequest, extra_context: Any = None) -> TemplateResponse:
        """Begin with what waits for this person."""
        waiting = waiting_for(request.user).select_related("experiment", "requester")
        more = {
            "waiting": waiting[:20], "waiting_count": waiting.count(), "whole": is_administrator(request.user),
            **(extra_context or {}),
        }  # fmt: skip
        return super().index(request, more)

    def app_index(self, request: HttpRequest, app_label: str, extra_context: Any = None) -> TemplateResponse:
        """Show one app."""
        return super().app_index(request, app_label, {"app_label": app_label, **(extra_context or {})})

    def each_context(self, request: Any) -> dict[str, Any]:
        """Return what every page shows."""
        entered = self.has_permission(request)
        return {
            "site_title": self.site_title, "site_header": self.site_header, "site_url": self.site_url,
            "has_permission": entered, "available_apps": self.get_app_list(request) if entered else [],
            "is_popup": False, "is_nav_sidebar_enabled": False, "log_entries": self.get_log_entries(request),
            "help": HELP, "sign_out": SIGN_OUT,
        }  # fmt: skip

    def _build_app_dict(self, request: HttpRequest, label: Any = None) -> dict[str, Any]:
        """Name the models with the words of the field."""
        found: dict[str, Any] = super()._build_app_dict(request, label)
        for app in found.values():
            for entry in app["models"]:
                name = str(self._registry[entry["model"]].opts.verbose_name_plural)
                entry["name"] = name[:1].upper() + name[1:]
        return found

    def get_log_entries(self, request: HttpRequest) -> Any:
        """Return nothing: the ledger keeps what was done."""
        return LogEntry.objects.none()


def _marked(view: Callable[..., Any], site: PomsAdminSite) -> Any:
    """Return a view of the site that asks for nobody to be signed in."""

    @login_not_required
    def inner(request: HttpRequest) -> HttpResponse:
        return view(request)

    inner.admin_site = site  # type: ignore[attr-defined]  # Django's own marks of a view
    return never_cache(inner)


class Inbox(RequestAdmin):
    """The approver's page with what the floors above know: cost, test run, gates, discussion."""

    def beside(self, request: HttpRequest, row: Request) -> dict[str, Any]:
        """Return what stands beside the decision."""
        comments = [(said, remark(said.text)) for said in row.comments.select_related("author").order_by("pk")]
        expense = request_facts.expense_of(row)
        return {
            "cost": expense and expense.cost, "expected": expense.expected if expense else [],
            "trial": request_facts.trial_of(row), "gates": request_facts.gates_of(row),
            "partners": request_facts.partners_of(row, request.user), "comments": comments,
        }  # fmt: skip


site = PomsAdminSite()
site.register(Request, Inbox)
site.register(Experiment, ExperimentAdmin)
site.register(User, PersonAdmin)
site.register(Membership, MembershipAdmin)
site.register(Approver, ApproverAdmin)
site.register(ServiceAccount, ServiceAccountAdmin)
site.register(Certificate, CertificateAdmin)
site.register(JobType, JobTypeAdmin)
site.register(LoginSetup, LoginSetupAdmin)
site.register(Defaults, DefaultsAdmin)
site.register(CatalogueLink, CatalogueLinkAdmin)
site.register(Credential, CredentialAdmin)
site.register(LaunchHost, LaunchHostAdmin)
site.register(BatchSystem, BatchSystemAdmin)
site.register(Policy, PolicyAdmin)
site.register(Package, PackageAdmin)
site.register(Template, TemplateAdmin)
site.register(Share, ShareAdmin)
