"""How many events the files of a slice hold; those that no batch has yet are counted here from their lines."""

from django.db import migrations, models

COUNT = r"""
UPDATE submissions_slice s SET events = coalesce((
    SELECT sum(nullif((string_to_array(line, E'\t'))[3], '\N')::bigint)
    FROM unnest(string_to_array(s.inputs, E'\n')) l (line)), 0)
WHERE taken_at IS NULL
"""


class Migration(migrations.Migration):

    dependencies = [
        ('submissions', '0012_tape_progress'),
    ]

    operations = [
        migrations.AddField(
            model_name='slice',
            name='events',
            field=models.BigIntegerField(default=0, help_text='of its files, as far as the catalogue knows them'),
        ),
        migrations.RunSQL(COUNT, migrations.RunSQL.noop),
    ]
