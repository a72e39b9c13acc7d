"""Campaigns are found by when they ended, for reports."""

from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('campaigns', '0011_canary'),
        ('experiments', '0006_last_looks'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddIndex(
            model_name='campaign',
            index=models.Index(condition=models.Q(('ended_at__isnull', False)), fields=['ended_at'], name='campaigns_campaign_ended_ix'),
        ),
    ]
