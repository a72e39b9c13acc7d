"""Settings of the tests: the same as everybody's, on a throwaway server unless DATABASE_URL names one."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from poms_site import embedded

# The first process of a test run starts the server; xdist's workers inherit its address.
_server = embedded.ensure(None, durable=False)
os.environ.setdefault("POMS_SECRET_KEY", "for tests only, and long enough for Django's own check of it 0123456789")
os.environ.setdefault("POMS_STATE", tempfile.mkdtemp(prefix="poms-test-"))

from poms_site.settings import *  # noqa: E402, F403 - after the environment is complete

LOCAL_PASSWORDS = True
POMS_BELL = False
RELAUNCH_SECONDS = [0.0] * 4  # tests of many failures do not wait for them to pass
GIT_FOLDERS = [tempfile.gettempdir()]
API_PER_MINUTE = LAUNCHES_PER_MINUTE = BAD_TOKENS_PER_MINUTE = 0  # a suite asks faster than people; tests set their own
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
STORAGES = {"staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}}
TEST_STATE = Path(os.environ["POMS_STATE"])
(TEST_STATE / "static").mkdir(exist_ok=True)
WHITENOISE_AUTOREFRESH = True  # each browser of a test makes the middleware anew, and it would list all files
