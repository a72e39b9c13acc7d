"""The queue: shares, boosts, sizes of batch systems, and how many jobs a submission brings."""

import django.core.validators
import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):
    """Add what the order of waiting work is made from."""

    dependencies = [
        ('campaigns', '0002_tables'),
        ('experiments', '0001_tables'),
        ('integrations', '0001_tables'),
        ('submissions', '0002_job_storage'),
    ]

    operations = [
        migrations.CreateModel(
            name='Boost',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('until', models.DateTimeField()),
                ('reason', models.TextField()),
                ('actor', models.CharField(max_length=150)),
                ('since', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('ended_at', models.DateTimeField(help_text='when somebody took it back; else it ends by itself', null=True)),
                ('ended_by', models.CharField(blank=True, max_length=150)),
            ],
        ),
        migrations.CreateModel(
            name='Pool',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('slots', models.PositiveIntegerField(default=0)),
                ('seen_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
        ),
        migrations.CreateModel(
            name='Share',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('weight', models.PositiveIntegerField(default=1, help_text='relative to the weights of other experiments; 1 to 1000', validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(1000)])),
            ],
        ),
        migrations.AddField(
            model_name='submission',
            name='n_jobs',
            field=models.PositiveIntegerField(default=1, help_text='planned; once submitted, those that there are'),
        ),
        migrations.AddField(
            model_name='submission',
            name='rank',
            field=models.IntegerField(help_text="its campaign's, when it was put into the batch system", null=True),
        ),
        migrations.AddField(
            model_name='submission',
            name='campaign',
            field=models.ForeignKey(db_index=False, help_text="its batch's", null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='campaigns.campaign'),
        ),
        # Of what was planned before: which campaign it is of, and how many jobs; those that are there say it
        # themselves, of those that wait the list is read. The keys are looked at before the table changes again.
        migrations.RunSQL(
            "UPDATE submissions_submission s SET campaign_id = st.campaign_id, n_jobs = greatest(1, CASE"
            " WHEN s.state NOT IN ('pending', 'launching', 'unsure', 'submitted', 'running')"
            " OR cardinality(s.job_ids) > 0 THEN cardinality(s.job_ids)"
            " WHEN jsonb_typeof(s.jobs_file -> 'jobs') = 'array' THEN jsonb_array_length(s.jobs_file -> 'jobs')"
            " ELSE 1 END) FROM submissions_batch b JOIN campaigns_stage st ON st.id = b.stage_id"
            " WHERE b.id = s.batch_id;"
            "SET CONSTRAINTS ALL IMMEDIATE",
            migrations.RunSQL.noop,
        ),
        migrations.AlterField(
            model_name='submission',
            name='campaign',
            field=models.ForeignKey(db_index=False, help_text="its batch's", on_delete=django.db.models.deletion.PROTECT, related_name='+', to='campaigns.campaign'),
        ),
        migrations.AddIndex(
            model_name='submission',
            index=models.Index(condition=models.Q(('state', 'pending')), fields=['campaign', 'created_at', 'id'], name='submissions_submission_wait_ix'),
        ),
        migrations.AddIndex(
            model_name='submission',
            index=models.Index(condition=models.Q(('state__in', ('launching', 'submitted', 'running'))), fields=['system', 'experiment'], name='submissions_submission_live_ix'),
        ),
        migrations.AddField(
            model_name='boost',
            name='campaign',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='campaigns.campaign'),
        ),
        migrations.AddField(
            model_name='pool',
            name='system',
            field=models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='integrations.batchsystem'),
        ),
        migrations.AddField(
            model_name='share',
            name='experiment',
            field=models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='experiments.experiment'),
        ),
        migrations.AddConstraint(
            model_name='boost',
            constraint=models.UniqueConstraint(condition=models.Q(('ended_at__isnull', True)), fields=('campaign',), name='submissions_boost_standing_uq'),
        ),
        migrations.AddConstraint(
            model_name='share',
            constraint=models.CheckConstraint(condition=models.Q(('weight__gte', 1)), name='submissions_share_weight_ck'),
        ),
    ]
