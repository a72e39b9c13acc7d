"""How many passes of a loop have failed one after the other: a loop that fails now and then is no alarm."""

from django.db import migrations, models


class Migration(migrations.Migration):
    """The database fills it in for workers that do not know it yet."""

    dependencies = [("core", "0007_sealed_rows")]
    operations = [
        migrations.AddField(
            "heartbeat", "failed_in_a_row",
            models.PositiveIntegerField(default=0, db_default=0, help_text="passes since the last that ended"),
        )
    ]
