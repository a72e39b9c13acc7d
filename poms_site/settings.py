"""Settings, all of them from the environment; the defaults serve a laptop."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import environ

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
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "poms_site.middleware.RequestId",
    "poms_site.middleware.BodyLimit",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
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
            "options": f"-c statement_timeout={STATEMENT_SECONDS}s -c lock_timeout=30s"
            " -c idle_in_transaction_session_timeout=60s",
        },
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- People -----------------------------------------------------------------------------------------------
AUTH_USER_MODEL = "experiments.User"
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
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
SESSION_COOKIE_AGE = 8 * 3600

# --- API --------------------------------------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "poms_site.api.auth.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["experiments.rules.DeclaredRule"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "poms_site.api.errors.answer",
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "POMS",
    "DESCRIPTION": "Production Operations Management System: requests, campaigns, submissions, jobs.",
    "VERSION": VERSION,
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
}
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

# --- The local systems --------------------------------------------------------------------------------------
LOCAL_SPOOL = Path(env.str("POMS_LOCAL_SPOOL", default=str(STATE_DIR / "batch")))
LOCAL_LAUNCHES = Path(env.str("POMS_LOCAL_LAUNCHES", default=str(STATE_DIR / "launches")))
LAUNCH_WALL_SECONDS = env.int("POMS_LAUNCH_WALL_SECONDS", default=600)
LOCAL_FILES = Path(env.str("POMS_LOCAL_FILES", default=str(STATE_DIR / "files")))

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
