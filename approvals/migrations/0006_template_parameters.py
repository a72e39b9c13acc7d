"""Templates have parameters, and some are for every experiment."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("approvals", "0005_words_sought_by"),
    ]

    operations = [
        migrations.AddField(
            model_name="template",
            name="common",
            field=models.BooleanField(default=False, help_text="Every experiment may begin with it."),
        ),
        migrations.AddField(
            model_name="template",
            name="parameters",
            field=models.TextField(
                blank=True, help_text="What is to be filled in, one a line: name = default | what it is."
            ),
        ),
        migrations.AlterField(
            model_name="template",
            name="definition",
            field=models.TextField(help_text="With {{name}} where a parameter belongs."),
        ),
    ]
