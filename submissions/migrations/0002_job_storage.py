"""How jobs and counters are stored: room in each page, so that a change stays a heap-only update."""

from django.db import migrations


class Migration(migrations.Migration):
    """Set fill factors and vacuum thresholds (ecosystem 5.3, 5.7)."""

    dependencies = [("submissions", "0001_tables")]
    operations = [
        migrations.RunSQL(
            "ALTER TABLE submissions_job SET (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.01);"
            "ALTER TABLE submissions_jobcount SET (fillfactor = 70);"
            "ALTER TABLE submissions_stageprogress SET (fillfactor = 50);"
            "ALTER TABLE submissions_plandue SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000)",
            migrations.RunSQL.noop,
        )
    ]
