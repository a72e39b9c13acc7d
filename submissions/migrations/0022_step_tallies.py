"""Tallies of the ledger, and the indexes of reports and the shift page."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('campaigns', '0012_campaigns_by_end'),
        ('experiments', '0006_last_looks'),
        ('submissions', '0021_archive'),
    ]

    operations = [
        migrations.CreateModel(
            name='StepTally',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('day', models.DateField()),
                ('kind', models.CharField(max_length=16)),
                ('verb', models.CharField(max_length=32)),
                ('n', models.IntegerField(default=0)),
            ],
        ),
        migrations.AddIndex(
            model_name='batch',
            index=models.Index(condition=models.Q(('state__in', ('pending', 'submitted', 'project_running', 'jobs_completed'))), fields=['experiment', 'state', 'state_since'], name='submissions_batch_open_ix'),
        ),
        migrations.AddIndex(
            model_name='result',
            index=models.Index(condition=models.Q(('refused', ''), _negated=True), fields=['at'], name='submissions_result_refused_ix'),
        ),
        migrations.AddField(
            model_name='steptally',
            name='experiment',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='experiments.experiment'),
        ),
        migrations.AddField(
            model_name='steptally',
            name='stage',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='campaigns.stage'),
        ),
        migrations.RunSQL(
            "ALTER TABLE submissions_steptally ADD CONSTRAINT submissions_steptally_uq"
            " UNIQUE NULLS NOT DISTINCT (experiment_id, day, stage_id, kind, verb)",
            "ALTER TABLE submissions_steptally DROP CONSTRAINT submissions_steptally_uq",
        ),
    ]
