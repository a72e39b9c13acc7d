"""A seal keeps the digest of each partition's rows, so that it holds without those that are dropped."""

from django.db import migrations, models


class Migration(migrations.Migration):
    """Add the column; seals that were made before stay as they are."""

    dependencies = [("core", "0004_campaign_of_step")]
    operations = [
        migrations.AddField(
            "seal",
            "parts",
            models.JSONField(help_text="by partition of the ledger: number and digest of its rows", null=True),
        )
    ]
