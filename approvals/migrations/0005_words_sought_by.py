"""Requests get a column of the words by which they are found; the table is written anew once, seconds for 10^5 rows."""

import django.db.models.functions.text
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("approvals", "0004_narrow_rows"),
    ]

    operations = [
        # Wide enough for the words to stay in their row, while texts still lie beside it; AddField writes all rows anew.
        migrations.RunSQL(
            "ALTER TABLE approvals_request SET (toast_tuple_target = 512)",
            "ALTER TABLE approvals_request SET (toast_tuple_target = 256)",
        ),
        migrations.AddField(
            model_name="request",
            name="sought",
            field=models.GeneratedField(
                db_persist=True,
                expression=django.db.models.functions.text.Lower(
                    django.db.models.functions.text.Concat(
                        "title", models.Value(" "), "dataset", models.Value(" "), "release"
                    )
                ),
                output_field=models.TextField(),
            ),
        ),
    ]
