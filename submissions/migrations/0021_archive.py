"""Jobs whose end is long ago go into an archive by months, to which nothing refers (M11)."""

import django.db.models.deletion
from django.db import migrations, models

ARCHIVE = """
CREATE TABLE submissions_archivedjob (
    id bigint NOT NULL,
    experiment_id bigint NOT NULL,
    submission_id bigint NOT NULL,
    system_id bigint NOT NULL,
    external_id varchar(100) NOT NULL,
    index integer,
    state_code smallint NOT NULL,
    starts integer NOT NULL,
    event_at timestamptz NOT NULL,
    state_since timestamptz NOT NULL,
    started_at timestamptz,
    ended_at timestamptz NOT NULL,
    exit_code integer,
    signal integer,
    code varchar(60) NOT NULL,
    reason text NOT NULL,
    node varchar(100) NOT NULL,
    site varchar(100) NOT NULL,
    slot_type varchar(40) NOT NULL,
    memory_mb double precision,
    cpu_s double precision,
    wall_s double precision,
    cpus smallint,
    history jsonb NOT NULL,
    PRIMARY KEY (id, ended_at)
) PARTITION BY RANGE (ended_at);
CREATE INDEX submissions_archivedjob_of_ix ON submissions_archivedjob (submission_id, id);
CREATE INDEX submissions_archivedjob_name_ix ON submissions_archivedjob (system_id, external_id);
CREATE VIEW submissions_everyjob AS
SELECT {columns}, false AS archived, NULL::jsonb AS history FROM submissions_job
UNION ALL SELECT {columns}, true, history FROM submissions_archivedjob;
CREATE FUNCTION submissions_archive_stays() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'the archive of jobs is append-only'; END $$;
CREATE TRIGGER submissions_archive_stays BEFORE UPDATE OR DELETE ON submissions_archivedjob
FOR EACH ROW EXECUTE FUNCTION submissions_archive_stays();
"""
COLUMNS = (
    "id, experiment_id, submission_id, system_id, external_id, index, state_code, starts, event_at, state_since,"
    " started_at, ended_at, exit_code, signal, code, reason, node, site, slot_type, memory_mb, cpu_s, wall_s, cpus"
)
EMPTY = "DROP VIEW submissions_everyjob; DROP TABLE submissions_archivedjob; DROP FUNCTION submissions_archive_stays"


class Migration(migrations.Migration):
    """Make the table; `retain` makes its partitions when the first job of a month comes."""

    dependencies = [("submissions", "0020_fill_tallies"), ("core", "0005_parts_of_seals")]
    operations = [
        migrations.RunSQL(
            ARCHIVE.format(columns=COLUMNS),
            EMPTY,
            state_operations=[
                migrations.CreateModel("EveryJob", [("id", models.BigIntegerField(primary_key=True, serialize=False))],
                                       options={"managed": False, "db_table": "submissions_everyjob"})
            ],
        ),
        migrations.AddField(
            "submission",
            "jobs_archived_at",
            models.DateTimeField(help_text="since when jobs of it are in the archive (M11)", null=True),
        ),
        migrations.AddIndex("job", models.Index(fields=["experiment", "id"], name="submissions_job_of_ix")),
        migrations.AlterField(
            "command",
            "job",
            models.ForeignKey(db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING,
                              related_name="+", to="submissions.job"),
        ),
    ]
