"""The kinds of services are those of probes.kinds: whoever adds one changes no table."""

from django.db import migrations, models


class Migration(migrations.Migration):
    """Leave the list of choices out; the column stays as it is."""

    dependencies = [("integrations", "0011_doubted_to")]
    operations = [
        migrations.AlterField(
            "service", "kind", models.CharField(help_text="how it is looked at: one of probes.kinds, or none", max_length=12)
        )
    ]
