"""Tally the jobs that had ended before tallies were kept."""

from django.db import migrations

FILL = """
INSERT INTO submissions_jobtally (experiment_id, stage_id, day, site, state_code, n, wall_s, core_s, cpu_s)
SELECT j.experiment_id, b.stage_id, (j.ended_at AT TIME ZONE 'UTC')::date, j.site, j.state_code, count(*),
       sum(coalesce(j.wall_s, 0)), sum(coalesce(j.wall_s, 0) * coalesce(j.cpus, 1)), sum(coalesce(j.cpu_s, 0))
FROM submissions_job j
JOIN submissions_submission s ON s.id = j.submission_id JOIN submissions_batch b ON b.id = s.batch_id
WHERE j.ended_at IS NOT NULL GROUP BY 1, 2, 3, 4, 5
"""


class Migration(migrations.Migration):
    dependencies = [("submissions", "0019_tallies")]

    operations = [migrations.RunSQL(FILL, migrations.RunSQL.noop)]
