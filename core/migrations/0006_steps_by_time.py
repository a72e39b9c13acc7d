"""The ledger's own order is nearly that of time, so a small index of ranges finds what happened since a moment."""

from django.db import migrations


class Migration(migrations.Migration):
    """Jobs' partitions are by month and have no such index: nobody asks them by time."""

    dependencies = [("core", "0005_parts_of_seals")]
    operations = [
        migrations.RunSQL(
            "CREATE INDEX core_transition_at_ix ON core_transition_main USING brin (at) WITH (autosummarize = on)",
            "DROP INDEX core_transition_at_ix",
        )
    ]
