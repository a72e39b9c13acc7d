#!/usr/bin/env python
"""Django's command line for POMS."""

import os
import sys


def main() -> None:
    """Run a management command; the demos and `up` bring the embedded database with them."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "poms_site.settings")
    from poms_site import laptop  # noqa: PLC0415 - before the settings are read

    if len(sys.argv) > 1 and sys.argv[1] in laptop.VERBS and not {"-h", "--help"} & set(sys.argv):
        laptop.prepare(sys.argv[1])
    from django.core.management import execute_from_command_line  # noqa: PLC0415 - after the settings are named

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
