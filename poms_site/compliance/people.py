"""Who comes in and by what: sign-on, banner, sessions, accounts that are no person, tokens, certificates."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.db.models import Count, Max, Min

from core.clock import now
from experiments.logic.sessions import banner
from experiments.models import ApiToken, Certificate, Consent, Membership, ServiceAccount
from integrations.people import openid
from poms_site.compliance.section import Section, facts, moment


def sign_on() -> Section:
    """Say by what people sign in."""
    provider = openid.is_set_up()
    return Section("sign-on", "Sign-on", facts(
        provider=settings.OIDC_ISSUER if provider else "none",
        client=settings.OIDC_RP_CLIENT_ID if provider else "none",
        algorithm=settings.OIDC_RP_SIGN_ALGO, PKCE=settings.OIDC_USE_PKCE, nonce=settings.OIDC_USE_NONCE,
        roles_that_need_a_claim=settings.OIDC_STEP_UP, passwords_kept_here_sign_in=settings.LOCAL_PASSWORDS,
        accounts_of_a_demonstration=settings.DEMO_ACCOUNTS is not None,
        wrong_passwords_for_one_name=f"{settings.SIGN_IN_TRIES} within {settings.SIGN_IN_MINUTES} min",
        client_certificates=settings.CLIENT_CERT_HEADER,
    ))  # fmt: skip


def consent(since: datetime) -> Section:
    """Give the banner, and who accepted which text since a day."""
    rows = Consent.objects.filter(at__gte=since).values("user__username", "version")
    found = rows.annotate(times=Count("pk"), first=Min("at"), last=Max("at")).order_by("user__username", "version")
    text = settings.CONSENT_TEXT
    about = f"Text {banner()[:12]} is shown: {text}" if text else "No banner is set (POMS_CONSENT_TEXT)."
    return Section("consent", f"Banner, accepted since {moment(since)}", [
        {"who": row["user__username"], "text": row["version"][:12],
         "present": "yes" if row["version"] == banner() else "no",
         "times": row["times"], "first": moment(row["first"]), "last": moment(row["last"])}
        for row in found
    ], about)  # fmt: skip


def sessions() -> Section:
    """Say how long sessions last and how they travel."""
    return Section("sessions", "Sessions and limits", facts(
        longest=f"{settings.SESSION_HOURS:g} h", idle=f"{settings.SESSION_IDLE_MINUTES:g} min",
        sign_out_reaches_the_provider=settings.OIDC_STORE_ID_TOKEN, TLS_only=settings.SECURE_SSL_REDIRECT,
        cookies_over_TLS_only=settings.SESSION_COOKIE_SECURE, HSTS=f"{settings.SECURE_HSTS_SECONDS} s",
        calls_of_the_API=f"{settings.API_PER_MINUTE} a minute for one account",
        launches=f"{settings.LAUNCHES_PER_MINUTE} a minute for one person",
        unknown_tokens=f"{settings.BAD_TOKENS_PER_MINUTE} a minute from one address",
    ))  # fmt: skip


def roles() -> Section:
    """Give who holds a role everywhere, and how many hold each in an experiment."""
    rows = Membership.objects.filter(active=True, user__is_active=True)
    named = rows.filter(experiment=None).order_by("role", "user__username").values_list("role", "user__username")
    counted = rows.exclude(experiment=None).values_list("experiment__name", "role").annotate(people=Count("user"))
    return Section("roles", "Roles", [
        *({"where": "everywhere", "role": role, "who": name} for role, name in named),
        *({"where": where, "role": role, "who": f"{people} accounts"}
          for where, role, people in counted.order_by("experiment__name", "role")),
    ])  # fmt: skip


def service_accounts() -> Section:
    """Give the accounts that are no person, those that have ended among them."""
    rows = ServiceAccount.objects.select_related("user", "owner", "experiment").order_by("experiment__name", "name")
    return Section("service-accounts", "Service accounts", [
        {"name": row.user.username, "role": row.role, "owner": row.owner.username, "purpose": row.purpose,
         "last use": moment(row.used_at), "ends": moment(row.expires_at),
         "state": "ended" if row.ended_at or row.expires_at <= now() else "works" if row.owner.is_active
         else "its owner's account is off"}
        for row in rows
    ])  # fmt: skip


def tokens() -> Section:
    """Give the API tokens that work; never a secret or its hash."""
    rows = ApiToken.objects.filter(revoked_at=None, expires_at__gt=now()).select_related("user")
    return Section("tokens", "API tokens that work", [
        {"owner": row.user.username, "purpose": row.name, "begins with": row.prefix,
         "may": "everything of its account" if row.permissions is None else ", ".join(row.permissions) or "nothing",
         "made": moment(row.created_at), "last use": moment(row.used_at), "ends": moment(row.expires_at),
         "banner": row.consent[:12] or "none"}
        for row in rows.order_by("user__username", "pk")
    ])  # fmt: skip


def certificates() -> Section:
    """Give the client certificates that sign service accounts in."""
    rows = Certificate.objects.filter(ended_at=None).select_related("account__user", "account__owner")
    return Section("certificates", "Client certificates", [
        {"account": row.account.user.username, "owner": row.account.owner.username, "subject": row.subject,
         "last use": moment(row.used_at), "ends": moment(row.not_after)}
        for row in rows.order_by("not_after")
    ])  # fmt: skip
