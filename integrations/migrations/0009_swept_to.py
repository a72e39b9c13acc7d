"""A sweep over quiet jobs goes on where the last one ended."""

from django.db import migrations, models


class Migration(migrations.Migration):
    """Add the place."""

    dependencies = [("integrations", "0008_uploads")]
    operations = [migrations.AddField("batchsystem", "swept_to", models.TextField(blank=True, default=""))]
