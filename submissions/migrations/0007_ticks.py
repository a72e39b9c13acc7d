"""Keep-up: the outcome of each nominal time, and when a file was there."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("campaigns", "0006_schedules"),
        ("experiments", "0003_stand_ins"),
        ("submissions", "0006_offers"),
    ]

    operations = [
        migrations.CreateModel(
            name="Tick",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("nominal", models.DateTimeField(help_text="the time by the schedule, not that of the run")),
                (
                    "outcome",
                    models.CharField(
                        choices=[
                            ("ran", "ran"),
                            ("nothing_new", "nothing new"),
                            ("skipped", "skipped"),
                            ("failed", "failed"),
                        ],
                        max_length=12,
                    ),
                ),
                ("at", models.DateTimeField(help_text="when the outcome was known")),
                ("inputs", models.PositiveIntegerField(default=0, help_text="new files that it made inputs")),
                ("reason", models.TextField(blank=True)),
                (
                    "asked_by",
                    models.CharField(
                        blank=True, help_text="who asked for it, where it is no nominal time", max_length=150
                    ),
                ),
            ],
        ),
        migrations.AddField(
            model_name="unit",
            name="arrived_at",
            field=models.DateTimeField(help_text="when its file was there, of those that a schedule found", null=True),
        ),
        migrations.AddIndex(
            model_name="unit",
            index=models.Index(
                condition=models.Q(("arrived_at__isnull", False)),
                fields=["stage", "arrived_at"],
                name="submissions_unit_arrived_ix",
            ),
        ),
        migrations.AddField(
            model_name="tick",
            name="schedule",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="+", to="campaigns.schedule"
            ),
        ),
        migrations.AddConstraint(
            model_name="tick",
            constraint=models.UniqueConstraint(fields=("schedule", "nominal"), name="submissions_tick_uq"),
        ),
    ]
