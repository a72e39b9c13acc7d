"""Texts of requests and revisions lie beside their rows, so that lists and searches read little."""

from django.db import migrations

TABLES = ("approvals_request", "campaigns_revision")


class Migration(migrations.Migration):

    dependencies = [
        ("approvals", "0003_requests"),
        ("campaigns", "0004_drafts"),
    ]

    operations = [
        migrations.RunSQL(
            f"ALTER TABLE {table} SET (toast_tuple_target = 256)", f"ALTER TABLE {table} RESET (toast_tuple_target)"
        )
        for table in TABLES
    ]
