"""The ledger says of a step which campaign it belongs to, so that a campaign's history is read by one index."""

from django.db import migrations, models

# Rows of jobs say nothing of it, so their partitions have no such index.
COLUMN = """
ALTER TABLE core_transition ADD COLUMN campaign_id bigint;
CREATE INDEX core_transition_campaign_ix ON core_transition_main (campaign_id, id) WHERE campaign_id IS NOT NULL;
"""


class Migration(migrations.Migration):
    """Add the column; submissions/migrations/0005 fills it."""

    dependencies = [("core", "0003_ledger")]
    operations = [
        migrations.RunSQL(
            COLUMN,
            "ALTER TABLE core_transition DROP COLUMN campaign_id",
            state_operations=[
                migrations.AddField("transition", "campaign_id", models.BigIntegerField(editable=False, null=True))
            ],
        )
    ]
