"""Settings, all of them from the environment; the defaults serve a laptop."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured

env = environ.FileAwareEnv()

BASE_DIR = Path(__file__).resolve().parent.parent
_changelog = BASE_DIR / "CHANGELOG.md"
VERSION = next(iter(re.findall(r"^## (\d\S*)", _changelog.read_text() if _changelog.exists() else "", re.M)), "0")

# --- What every installation sets -----------------------------------------------------------------------
DEBUG = env.bool("POMS_DEBUG", default=False)
STATE_DIR = Path(env.str("POMS_STATE", default=str(BASE_DIR / ".poms")))
SECRET_KEY = env.str("POMS_SECRET_KEY", default="")
ALLOWED_HOSTS = env.list("POMS_HOSTS", default=["127.0.0.1", "localhost", "[::1]", "testserver"])
DATABASE_URL = env.str("DATABASE_URL", default="")

if not SECRET_KEY:
    from poms_site.secret import laptop_secret

    SECRET_KEY = laptop_secret(STATE_DIR)

# --- Apps, from the ground floor up -----------------------------------------------------------------------
INSTALLED_APPS = [
    "django.contrib.admin.apps.SimpleAdminConfig",
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "guardian",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_q",
    "core.apps.CoreConfig",
    "experiments.apps.ExperimentsConfig",
    "integrations.apps.IntegrationsConfig",
    "campaigns.apps.CampaignsConfig",
    "submissions.apps.SubmissionsConfig",
    "approvals.apps.ApprovalsConfig",
    "poms_site.apps.SiteConfig",
]
MIDDLEWARE = [
    "poms_site.middleware.RequestId",
    "poms_site.web.health.Probes",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "poms_site.middleware.BodyLimit",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "poms_site.sessions.SessionLimits",
    "poms_site.consent.ConsentBanner",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "poms_site.urls"
WSGI_APPLICATION = "poms_site.wsgi.application"
TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

# --- Database ---------------------------------------------------------------------------------------------
# A worker's statement ends before its task's time limit, or django-q2 could not end it (ecosystem 2, item 4).
STATEMENT_SECONDS = env.int("POMS_STATEMENT_SECONDS", default=90)
_database: dict[str, Any] = environ.Env.db_url_config(DATABASE_URL) if DATABASE_URL else {"NAME": "poms"}
DATABASES = {
    "default": {
        **_database,
        # An unsupported engine is answered by the system check, with a sentence, not by an import error.
        "ENGINE": "django.db.backends.postgresql",
        "CONN_MAX_AGE": 300,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {
            **_database.get("OPTIONS", {}),
            "connect_timeout": 5,
            # Where the line to the server is cut, both ends give up within half a minute: the worker goes on as soon as
            # it can, and the server ends a session whose locks nobody could free otherwise for hours.
            "keepalives_idle": 15,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": 30_000,
            "options": f"-c statement_timeout={STATEMENT_SECONDS}s -c lock_timeout=30s"
            " -c idle_in_transaction_session_timeout=60s -c tcp_keepalives_idle=15 -c tcp_keepalives_interval=5"
            " -c tcp_keepalives_count=3 -c tcp_user_timeout=30000",
        },
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- People -----------------------------------------------------------------------------------------------
AUTH_USER_MODEL = "experiments.User"
AUTHENTICATION_BACKENDS = [
    "experiments.backends.PasswordBackend",
    "integrations.people.openid.Backend",
    "guardian.backends.ObjectPermissionBackend",
]
AUTH_PASSWORD_VALIDATORS = [{"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"}]
GUARDIAN_MONKEY_PATCH_USER = False
GUARDIAN_MONKEY_PATCH_GROUP = False
ANONYMOUS_USER_NAME = None
LOGIN_URL = "/sign-in/"
LOGIN_REDIRECT_URL = "/"
CSRF_FAILURE_VIEW = "poms_site.web.errors.bad_csrf"
# `make run` names the file with its accounts here, so that the sign-in page can show them; empty everywhere else.
DEMO_ACCOUNTS = Path(_demo) if (_demo := env.str("POMS_DEMO_ACCOUNTS", default="")) else None
# Passwords kept here sign in only on a laptop, or where somebody says so: to get in while the provider is away.
LOCAL_PASSWORDS = env.bool("POMS_LOCAL_PASSWORDS", default=False) or DEMO_ACCOUNTS is not None
SIGN_IN_TRIES = env.int("POMS_SIGN_IN_TRIES", default=10)
SIGN_IN_MINUTES = env.int("POMS_SIGN_IN_MINUTES", default=15)
SESSION_HOURS = env.float("POMS_SESSION_HOURS", default=8.0)
SESSION_IDLE_MINUTES = env.float("POMS_SESSION_IDLE_MINUTES", default=30.0)
SESSION_COOKIE_AGE = int(SESSION_HOURS * 3600) + 3600  # longer than the session, so that its end can be told
CONSENT_TEXT = env.str("POMS_CONSENT_TEXT", default="").strip()
PRIVACY_URL = env.str("POMS_PRIVACY_URL", default="")
INCIDENT_CONTACT = env.str("POMS_INCIDENT_CONTACT", default="")
SECURITY_TXT = env.str("POMS_SECURITY_TXT", default="")
# A proxy here may say who is behind it (X-Forwarded-For, client certificates); a unix socket is always believed.
TRUSTED_PROXIES = env.list("POMS_TRUSTED_PROXIES", default=[])
CLIENT_CERT_HEADER = env.str("POMS_CLIENT_CERT_HEADER", default="")

# --- Sign-in by OpenID Connect ------------------------------------------------------------------------------
OIDC_ISSUER = env.str("POMS_OIDC_ISSUER", default="")
OIDC_RP_CLIENT_ID = env.str("POMS_OIDC_CLIENT_ID", default="")
OIDC_RP_CLIENT_SECRET = env.str("POMS_OIDC_CLIENT_SECRET", default="")
OIDC_RP_SCOPES = env.str("POMS_OIDC_SCOPES", default="openid profile email")
OIDC_RP_SIGN_ALGO = env.str("POMS_OIDC_ALGORITHM", default="RS256")
OIDC_PROVIDER_NAME = env.str("POMS_OIDC_NAME", default="single sign-on")
# Empty: as the provider's own description at <issuer>/.well-known/openid-configuration says.
OIDC_OP_AUTHORIZATION_ENDPOINT = env.str("POMS_OIDC_AUTHORIZATION_ENDPOINT", default="")
OIDC_OP_TOKEN_ENDPOINT = env.str("POMS_OIDC_TOKEN_ENDPOINT", default="")
OIDC_OP_USER_ENDPOINT = env.str("POMS_OIDC_USER_ENDPOINT", default="")
OIDC_OP_JWKS_ENDPOINT = env.str("POMS_OIDC_JWKS_ENDPOINT", default="")
OIDC_OP_END_SESSION_ENDPOINT = env.str("POMS_OIDC_END_SESSION_ENDPOINT", default="")
OIDC_USERNAME_CLAIM = env.str("POMS_OIDC_USERNAME_CLAIM", default="preferred_username")
OIDC_GROUPS_CLAIM = env.str("POMS_OIDC_GROUPS_CLAIM", default="groups")
OIDC_ROLES = env.str("POMS_OIDC_ROLES", default="")
OIDC_STEP_UP = env.list("POMS_OIDC_STEP_UP", default=[])
OIDC_ADOPT_IMPORTED = env.bool("POMS_OIDC_ADOPT_IMPORTED", default=False)
# The token is kept in the session only where the provider's own session is to end with ours.
OIDC_STORE_ID_TOKEN = env.bool("POMS_OIDC_END_SESSION", default=False)
OIDC_USE_PKCE = OIDC_USE_NONCE = True
OIDC_TIMEOUT = 10
OIDC_AUTHENTICATION_CALLBACK_URL = "sign-in-back"

# --- FERRY: who belongs to an experiment ----------------------------------------------------------------------
FERRY_URL = env.str("POMS_FERRY_URL", default="")
FERRY_TOKEN = env.str("POMS_FERRY_TOKEN", default="")
FERRY_CERT = env.str("POMS_FERRY_CERT", default="")
FERRY_ROLES = env.str("POMS_FERRY_ROLES", default="")

# --- API --------------------------------------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "poms_site.api.auth.TokenAuthentication",
        "poms_site.api.auth.CertificateAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["experiments.rules.DeclaredRule"],
    "DEFAULT_THROTTLE_CLASSES": ["poms_site.api.limits.EachCaller"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "SCHEMA_COERCE_PATH_PK": False,
    "DEFAULT_SCHEMA_CLASS": "poms_site.api.describing.Described",
    "EXCEPTION_HANDLER": "poms_site.api.errors.answer",
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "POMS",
    "DESCRIPTION": "Production Operations Management System: requests, campaigns, submissions, jobs.",
    "VERSION": VERSION,
    "DEFAULT_GENERATOR_CLASS": "poms_site.api.describing.Once",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
}
# What one person or service account may ask of the API, and launch, within a minute, from whatever host and by whatever
# token; and what one address may try with tokens that nobody has. 0 is no limit.
API_PER_MINUTE = env.int("POMS_API_PER_MINUTE", default=1200)
LAUNCHES_PER_MINUTE = env.int("POMS_LAUNCHES_PER_MINUTE", default=60)
BAD_TOKENS_PER_MINUTE = env.int("POMS_BAD_TOKENS_PER_MINUTE", default=60)
# A body larger than this is refused before it is read (a definition has at most 256 KiB).
BODY_LIMIT = env.int("POMS_BODY_LIMIT", default=2 * 1024 * 1024)
DATA_UPLOAD_MAX_MEMORY_SIZE = BODY_LIMIT

# --- Queue: the settings that ecosystem.md section 2 arrives at; poms_site.checks refuses unsafe ones -------
POMS_BELL = env.bool("POMS_BELL", default=True)
_workers = env.int("POMS_WORKERS", default=2)
Q_CLUSTER = {
    "name": "poms",
    "orm": "default",
    "workers": _workers,
    "queue_limit": _workers,
    "bulk": 1,
    "timeout": 117,
    "retry": 600,
    "guard_cycle": 0.5,
    "poll": env.float("POMS_POLL", default=0.5),
    "max_attempts": 1,
    "ack_failures": True,
    "catch_up": False,
    "save_limit": -1,
    "recycle": 200,
    "log_level": "WARNING",
}

# How much waits in the batch systems rather than here, and how fast what waits here gains (submissions.fairness).
QUEUE_DEPTH = env.str("POMS_QUEUE_DEPTH", default="2x")
QUEUE_AGEING = env.float("POMS_QUEUE_AGEING", default=1.0)

# Where jobs reach the API to report themselves; empty: they are only asked about.
PUBLIC_URL = env.str("POMS_PUBLIC_URL", default="").rstrip("/")

# --- Notices --------------------------------------------------------------------------------------------------
MAIL_HOST = env.str("POMS_MAIL_HOST", default="")
MAIL_PORT = env.int("POMS_MAIL_PORT", default=25)
MAIL_TLS = env.str("POMS_MAIL_TLS", default="none")
MAIL_USER = env.str("POMS_MAIL_USER", default="")
MAIL_PASSWORD = env.str("POMS_MAIL_PASSWORD", default="")
MAIL_FROM = env.str("POMS_MAIL_FROM", default="poms@localhost")
# A bulk action makes one notice: those who are told are told when it has been quiet for so long.
NOTICE_QUIET_SECONDS = env.float("POMS_NOTICE_QUIET_SECONDS", default=5.0)
# Hosts and networks that are not on the public internet and may be called all the same (webhooks, service desk).
HTTP_ALLOW = [entry.strip() for entry in env.str("POMS_HTTP_ALLOW", default="").split(",") if entry.strip()]
# Hosts that what experiments and people enter may name (webhooks, services, packages, catalogues), or `.example.org`
# for all below it; none: every host of the public internet.
OUTGOING_HOSTS = [entry.strip() for entry in env.str("POMS_OUTGOING_HOSTS", default="").split(",") if entry.strip()]
# Folders of the worker in which git repositories may lie that packages name by their path.
GIT_FOLDERS = [entry.strip() for entry in env.str("POMS_GIT_FOLDERS", default="").split(",") if entry.strip()]
# Addresses of FTS that are inside our network or without TLS; an experiment's link names which of them are its own.
FTS_SERVICES = [entry.strip() for entry in env.str("POMS_FTS_SERVICES", default="").split(",") if entry.strip()]

# --- Reports and metrics -----------------------------------------------------------------------------------------
# Accounting is linked, not repeated: Gratia=https://…,FIFEMON=https://…/{experiment}
DASHBOARDS = env.list("POMS_DASHBOARDS", default=[])
# What Prometheus shows to be let in; empty: /metrics is closed, unless it is open to everybody.
METRICS_TOKEN = env.str("POMS_METRICS_TOKEN", default="")
METRICS_OPEN = env.bool("POMS_METRICS_OPEN", default=False)

# --- The local systems --------------------------------------------------------------------------------------
LOCAL_SPOOL = Path(env.str("POMS_LOCAL_SPOOL", default=str(STATE_DIR / "batch")))
LOCAL_LAUNCHES = Path(env.str("POMS_LOCAL_LAUNCHES", default=str(STATE_DIR / "launches")))
# Waits before each further try of a launch that failed: what is in its way may pass. One failure more ends the batch.
RELAUNCH_SECONDS = [float(word) for word in env.list("POMS_RELAUNCH_SECONDS", default=["0", "10", "60", "300"])]
LAUNCH_WALL_SECONDS = env.int("POMS_LAUNCH_WALL_SECONDS", default=600)
# On one person's machine there is one account: whoever asks for work may try it out under it, before an approval.
LOCAL_SHARED_ACCOUNT = env.bool("POMS_LOCAL_SHARED_ACCOUNT", default=False)
# Bytes that may hang on one request.
ATTACHMENT_QUOTA = env.int("POMS_ATTACHMENT_QUOTA", default=20_000_000)
# Bytes that somebody who runs analyses may keep in each experiment; days that what came with launches is kept.
UPLOAD_QUOTA = env.int("POMS_UPLOAD_QUOTA", default=10_485_760)
UPLOAD_DAYS = env.int("POMS_UPLOAD_DAYS", default=90)
# Days from its end for which a job stays beside those that run (M11: at least 30), then in the archive (0: for ever).
KEEP_JOBS_DAYS = env.int("POMS_KEEP_JOBS_DAYS", default=30)
KEEP_ARCHIVE_DAYS = env.int("POMS_KEEP_ARCHIVE_DAYS", default=0)
if KEEP_JOBS_DAYS < 30:
    raise ImproperlyConfigured("POMS_KEEP_JOBS_DAYS is less than 30: jobs are kept at least 30 days after their end.")
if 0 < KEEP_ARCHIVE_DAYS < KEEP_JOBS_DAYS:
    raise ImproperlyConfigured("POMS_KEEP_ARCHIVE_DAYS is less than POMS_KEEP_JOBS_DAYS; 0 keeps the archive for ever.")
LOCAL_FILES = Path(env.str("POMS_LOCAL_FILES", default=str(STATE_DIR / "files")))
# Lists of files that are datasets: one folder for each experiment, nothing outside is ever read.
FILE_LISTS = Path(env.str("POMS_FILE_LISTS", default=str(STATE_DIR / "lists")))
# How long the local catalogue pretends that a file needs from tape to disk.
LOCAL_RECALL_SECONDS = env.float("POMS_LOCAL_RECALL_SECONDS", default=0.0)

# --- Web ----------------------------------------------------------------------------------------------------
LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "/static/"
STATIC_ROOT = Path(env.str("POMS_STATIC", default=str(STATE_DIR / "static")))
STATICFILES_DIRS = [BASE_DIR / "poms_site" / "static"]
WHITENOISE_USE_FINDERS = True
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "object-src": ["'none'"],
        "frame-ancestors": ["'none'"],
        "base-uri": ["'self'"],
        "form-action": ["'self'"],
    }
}
# On by POMS_HTTPS=1: behind a proxy that speaks TLS and sets X-Forwarded-Proto.
_https = env.bool("POMS_HTTPS", default=False)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = _https
SECURE_HSTS_SECONDS = 31_536_000 if _https else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = _https
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if _https else None

# --- Logs ---------------------------------------------------------------------------------------------------
# Milliseconds from which on a statement is logged as slow, without its values; 0: none is.
SLOW_MS = env.float("POMS_SLOW_MS", default=500.0)
LOGGING_CONFIG = "poms_site.telemetry.configure"
LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "structured"}},
    "root": {"handlers": ["stderr"], "level": env.str("POMS_LOG", default="INFO")},
    "loggers": {
        "django-q": {"level": "WARNING"},
        "django.request": {"level": "ERROR"},
        "django.server": {"level": "WARNING"},
    },
}
