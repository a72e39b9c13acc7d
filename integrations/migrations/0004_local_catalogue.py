"""The local catalogue in full: queries, runs, times, tape, snapshots and projects; fills them from what is there."""

import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

import integrations.models

# A text of metadata is whatever somebody wrote: what is no time is none, and what is no number is no run.
FILL = r"""
CREATE FUNCTION pg_temp.moment(text) RETURNS timestamptz LANGUAGE plpgsql AS $$
BEGIN
    IF $1 !~ '^\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d(:?\d\d)?)?)?$' THEN
        RETURN NULL;
    END IF;
    RETURN $1::timestamptz;
EXCEPTION WHEN datetime_field_overflow OR invalid_datetime_format THEN
    RETURN NULL;
END $$;

INSERT INTO integrations_filerun (file_id, run, subrun, type)
SELECT DISTINCT ON (f.id, e.run, e.subrun) f.id, e.run, e.subrun, e.type
  FROM integrations_file f
 CROSS JOIN LATERAL jsonb_array_elements(
       CASE WHEN jsonb_typeof(f.metadata -> 'runs') = 'array' THEN f.metadata -> 'runs' ELSE '[]' END
       ) WITH ORDINALITY AS r (entry, n)
 CROSS JOIN LATERAL (
       SELECT CASE jsonb_typeof(r.entry) WHEN 'array' THEN r.entry ELSE jsonb_build_array(r.entry) END) AS a (parts)
 CROSS JOIN LATERAL (
       SELECT CASE WHEN a.parts ->> 0 ~ '^\d{1,15}$' THEN (a.parts ->> 0)::bigint END,
              CASE WHEN a.parts ->> 1 ~ '^\d{1,15}$' THEN (a.parts ->> 1)::bigint ELSE 0 END,
              coalesce(left(a.parts ->> 2, 80), '')) AS e (run, subrun, type)
 WHERE e.run IS NOT NULL
 ORDER BY f.id, e.run, e.subrun, r.n;

UPDATE integrations_file f
   SET updated_at = created_at,
       medium = CASE WHEN path = '' THEN 'none' ELSE 'disk' END,
       start_time = pg_temp.moment(metadata ->> 'start_time'),
       end_time = pg_temp.moment(metadata ->> 'end_time'),
       run = CASE WHEN metadata ? 'runs' THEN (SELECT min(r.run) FROM integrations_filerun r WHERE r.file_id = f.id) END;

DROP FUNCTION pg_temp.moment(text);
SET CONSTRAINTS ALL IMMEDIATE;
SET CONSTRAINTS ALL DEFERRED;
"""

# Whoever changes a file, and however: what asks for news finds it.
CHANGED = """
CREATE FUNCTION integrations_file_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := clock_timestamp();
    NEW.txid := pg_current_xact_id()::text::bigint;
    RETURN NEW;
END $$;
CREATE TRIGGER integrations_file_changed BEFORE UPDATE ON integrations_file
FOR EACH ROW EXECUTE FUNCTION integrations_file_changed();
"""
UNCHANGED = """
DROP TRIGGER integrations_file_changed ON integrations_file;
DROP FUNCTION integrations_file_changed();
"""

BIG = {"auto_created": True, "primary_key": True, "serialize": False, "verbose_name": "ID"}


class Migration(migrations.Migration):

    dependencies = [
        ("experiments", "0003_stand_ins"),
        ("integrations", "0003_catalogues"),
    ]

    operations = [
        migrations.AddField("dataset", "query", models.TextField(blank=True, help_text="in the dimension language; empty: it is a list of files", default=""), preserve_default=False),
        migrations.AddField("file", "medium", models.CharField(choices=[("disk", "on disk"), ("tape", "on tape"), ("none", "nowhere yet"), ("virtual", "never anywhere")], default="disk", max_length=10)),
        migrations.AddField("file", "recalled_at", models.DateTimeField(help_text="when it was asked for to come from tape to disk", null=True)),
        migrations.AddField("file", "run", models.BigIntegerField(help_text="the first of its runs", null=True)),
        migrations.AddField("file", "start_time", models.DateTimeField(help_text="when its data begin", null=True)),
        migrations.AddField("file", "end_time", models.DateTimeField(help_text="when its data end", null=True)),
        migrations.AddField("file", "txid", models.BigIntegerField(db_default=integrations.models.ThisTransaction(), help_text="what changed it last; kept by the database")),
        migrations.AddField("file", "updated_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), help_text="kept by the database")),
        migrations.AddIndex("file", models.Index(fields=["experiment", "txid"], name="integrations_file_txid_ix")),
        migrations.CreateModel(
            name="FileRun",
            fields=[
                ("id", models.BigAutoField(**BIG)),
                ("run", models.BigIntegerField()),
                ("subrun", models.BigIntegerField(default=0)),
                ("type", models.CharField(blank=True, max_length=80)),
                ("file", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="runs", to="integrations.file")),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("file", "run", "subrun"), name="integrations_filerun_run_uq")],
                "indexes": [models.Index(fields=["run", "subrun"], name="integrations_filerun_run_ix")],
            },
        ),
        # The table of lists is there already; it gets a model, and says since when a file is in the list.
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.CreateModel(
                    name="Membership",
                    fields=[
                        ("id", models.BigAutoField(**BIG)),
                        ("dataset", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="memberships", to="integrations.dataset")),
                        ("file", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="memberships", to="integrations.file")),
                    ],
                    options={"db_table": "integrations_dataset_files", "unique_together": {("dataset", "file")}},
                ),
                migrations.AlterField("dataset", "files", models.ManyToManyField(related_name="datasets", through="integrations.Membership", to="integrations.file")),
            ],
        ),
        migrations.AddField("membership", "txid", models.BigIntegerField(db_default=integrations.models.ThisTransaction())),
        migrations.AddIndex("membership", models.Index(fields=["dataset", "txid"], name="integrations_membership_new_ix")),
        migrations.CreateModel(
            name="DatasetSnapshot",
            fields=[
                ("id", models.BigAutoField(**BIG)),
                ("dataset", models.CharField(max_length=200)),
                ("files", django.contrib.postgres.fields.ArrayField(base_field=models.BigIntegerField(), help_text="ids of files", size=None)),
                ("created_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("experiment", models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="+", to="experiments.experiment")),
            ],
            options={"indexes": [models.Index(fields=["experiment", "dataset"], name="integrations_snapshot_of_ix")]},
        ),
        migrations.CreateModel(
            name="FileProject",
            fields=[
                ("id", models.BigAutoField(**BIG)),
                ("name", models.CharField(max_length=200)),
                ("created_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("experiment", models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="+", to="experiments.experiment")),
                ("snapshot", models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="projects", to="integrations.datasetsnapshot")),
            ],
            options={"constraints": [models.UniqueConstraint(fields=("experiment", "name"), name="integrations_fileproject_name_uq")]},
        ),
        migrations.CreateModel(
            name="Consumption",
            fields=[
                ("id", models.BigAutoField(**BIG)),
                ("status", models.CharField(max_length=20)),
                ("file", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="+", to="integrations.file")),
                ("project", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="consumptions", to="integrations.fileproject")),
            ],
            options={"constraints": [models.UniqueConstraint(fields=("project", "file"), name="integrations_consumption_file_uq")]},
        ),
        migrations.RunSQL(FILL, migrations.RunSQL.noop),
        migrations.RunSQL(CHANGED, UNCHANGED),
    ]
