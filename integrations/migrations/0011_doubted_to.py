"""A sweep asks once more about jobs that have failed, on from where the last one ended."""

from django.db import migrations, models


class Migration(migrations.Migration):
    """Add the place."""

    dependencies = [("integrations", "0010_logbooks")]
    operations = [migrations.AddField("batchsystem", "doubted_to", models.TextField(blank=True, default=""))]
