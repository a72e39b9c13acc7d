"""The WSGI application that the server runs."""

import gc
import os
from importlib import import_module

from django.conf import settings
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "poms_site.settings")
application = get_wsgi_application()
# What is loaded now stays for good. Left to the collector, it is looked through again and again, 0.1 s at a time, in
# the middle of somebody's request; and the views would be loaded during the first one.
import_module(settings.ROOT_URLCONF)
gc.collect()
gc.freeze()
