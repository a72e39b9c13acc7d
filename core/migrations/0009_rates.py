"""How often somebody did something within the last minute; not logged, for it is worth nothing after a crash."""

import django.contrib.postgres.fields
from django.db import migrations, models


class Migration(migrations.Migration):
    """A new table, which older code never looks at."""

    dependencies = [("core", "0008_failed_in_a_row")]
    operations = [
        migrations.CreateModel(
            name="Rate",
            fields=[
                ("key", models.CharField(max_length=100, primary_key=True, serialize=False)),
                (
                    "slots",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.IntegerField(), help_text="acts in each slot, the present one first", size=None
                    ),
                ),
                ("slot", models.BigIntegerField(help_text="the present one: seconds since 1970, by its width")),
                ("passed", models.BooleanField(help_text="whether the last was let through")),
            ],
        ),
        migrations.RunSQL("ALTER TABLE core_rate SET UNLOGGED", "ALTER TABLE core_rate SET LOGGED"),
    ]
