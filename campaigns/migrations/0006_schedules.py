"""Keep-up: what a stage says of its schedule, and the schedules themselves."""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("campaigns", "0005_library"),
        ("experiments", "0003_stand_ins"),
    ]

    operations = [
        migrations.CreateModel(
            name="Schedule",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("expression", models.CharField(help_text="cron expression or interval", max_length=200)),
                ("zone", models.CharField(help_text="IANA name of the zone of its times", max_length=60)),
                ("starts_at", models.DateTimeField(help_text="its first nominal time is not before", null=True)),
                ("ends_at", models.DateTimeField(help_text="its last nominal time is before", null=True)),
                (
                    "catch_up",
                    models.CharField(choices=[("last", "last"), ("all", "all"), ("none", "none")], max_length=10),
                ),
                (
                    "cap",
                    models.PositiveSmallIntegerField(help_text="of missed times that are run where all are caught up"),
                ),
                (
                    "overlap",
                    models.CharField(choices=[("allow", "allow"), ("skip", "skip"), ("queue", "queue")], max_length=10),
                ),
                ("objective", models.CharField(blank=True, help_text="such as 95% within 24 h", max_length=40)),
                (
                    "since",
                    models.DateTimeField(help_text="when it began; what was there before counts as arrived then"),
                ),
                (
                    "next_at",
                    models.DateTimeField(
                        help_text="the first nominal time without outcome; none once all are over", null=True
                    ),
                ),
                ("look_at", models.DateTimeField(help_text="when the schedule loop should look at it next")),
                (
                    "tries",
                    models.PositiveIntegerField(default=0, help_text="failed ones of the nominal time that is due"),
                ),
                ("why", models.TextField(blank=True, help_text="what the nominal time that is due waits for")),
                ("mark", models.TextField(blank=True, help_text="the catalogue's: what is new is asked from there")),
                ("paused_at", models.DateTimeField(null=True)),
                ("paused_by", models.CharField(blank=True, max_length=150)),
                ("pause_reason", models.TextField(blank=True)),
                (
                    "valid_until",
                    models.DateTimeField(help_text="until when the request's keep-up was renewed", null=True),
                ),
                (
                    "asked_at",
                    models.DateTimeField(help_text="when somebody asked for a run beside the schedule", null=True),
                ),
                ("asked_by", models.CharField(blank=True, max_length=150)),
                (
                    "standing",
                    models.CharField(
                        blank=True, help_text="of its objective, as last said: met, at_risk, missed", max_length=10
                    ),
                ),
                (
                    "ended_at",
                    models.DateTimeField(
                        help_text="when it came to its end or was taken out of the definition", null=True
                    ),
                ),
                ("created_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
        ),
        migrations.AddField(
            model_name="stageversion",
            name="catch_up",
            field=models.CharField(default="last", max_length=10),
        ),
        migrations.AddField(
            model_name="stageversion",
            name="catch_up_cap",
            field=models.PositiveSmallIntegerField(default=10),
        ),
        migrations.AddField(
            model_name="stageversion",
            name="latency_objective",
            field=models.CharField(blank=True, default="", max_length=40),
        ),
        migrations.AddField(
            model_name="stageversion",
            name="overlap",
            field=models.CharField(default="allow", max_length=10),
        ),
        migrations.AddField(
            model_name="stageversion",
            name="schedule",
            field=models.CharField(blank=True, default="", help_text="cron expression or interval", max_length=200),
        ),
        migrations.AddField(
            model_name="stageversion",
            name="schedule_end",
            field=models.CharField(blank=True, default="", max_length=20),
        ),
        migrations.AddField(
            model_name="stageversion",
            name="schedule_start",
            field=models.CharField(blank=True, default="", max_length=20),
        ),
        migrations.AddField(
            model_name="stageversion",
            name="schedule_zone",
            field=models.CharField(default="UTC", max_length=60),
        ),
        migrations.AddIndex(
            model_name="stageversion",
            index=models.Index(
                condition=models.Q(("schedule", ""), _negated=True),
                fields=["revision"],
                name="campaigns_stageversion_sch_ix",
            ),
        ),
        migrations.AddField(
            model_name="schedule",
            name="experiment",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to="experiments.experiment"
            ),
        ),
        migrations.AddField(
            model_name="schedule",
            name="stage",
            field=models.OneToOneField(
                on_delete=django.db.models.deletion.CASCADE, related_name="schedule", to="campaigns.stage"
            ),
        ),
        migrations.AddField(
            model_name="schedule",
            name="version",
            field=models.ForeignKey(
                help_text="that it follows",
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="campaigns.stageversion",
            ),
        ),
        migrations.AddIndex(
            model_name="schedule",
            index=models.Index(
                condition=models.Q(("ended_at__isnull", True)), fields=["look_at"], name="campaigns_schedule_look_ix"
            ),
        ),
    ]
