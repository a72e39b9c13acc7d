"""What a campaign's list and history of submissions are read by: an index, and the campaign of each step."""

from django.db import migrations, models

# Whoever writes a step knows the thing alone; which campaign that belongs to never changes.
BELONGS = """
CREATE FUNCTION core_transition_of_campaign() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN
    NEW.campaign_id := CASE NEW.kind
        WHEN 'campaign' THEN NEW.thing_id
        WHEN 'batch' THEN (SELECT s.campaign_id FROM submissions_batch b JOIN campaigns_stage s ON s.id = b.stage_id
                            WHERE b.id = NEW.thing_id)
        ELSE (SELECT campaign_id FROM submissions_submission WHERE id = NEW.thing_id)
    END;
    RETURN NEW;
END $$;
CREATE TRIGGER core_transition_of_campaign BEFORE INSERT ON core_transition_main FOR EACH ROW
WHEN (NEW.kind IN ('campaign', 'batch', 'submission')) EXECUTE FUNCTION core_transition_of_campaign();
"""
# What was written before: the only time that the guard of the ledger steps aside.
BEFORE = """
ALTER TABLE core_transition DISABLE TRIGGER core_transition_stays;
UPDATE core_transition SET campaign_id = thing_id WHERE kind = 'campaign';
UPDATE core_transition t SET campaign_id = s.campaign_id FROM submissions_batch b
  JOIN campaigns_stage s ON s.id = b.stage_id WHERE t.kind = 'batch' AND b.id = t.thing_id;
UPDATE core_transition t SET campaign_id = s.campaign_id FROM submissions_submission s
 WHERE t.kind = 'submission' AND s.id = t.thing_id;
ALTER TABLE core_transition ENABLE TRIGGER core_transition_stays;
"""


class Migration(migrations.Migration):
    """Index submissions by campaign; let the ledger know the campaign of a step, past and to come."""

    dependencies = [
        ("campaigns", "0004_drafts"),
        ("core", "0004_campaign_of_step"),
        ("submissions", "0004_test_runs"),
    ]
    operations = [
        migrations.AddIndex(
            model_name="submission",
            index=models.Index(fields=["campaign", "id"], name="submissions_submission_of_ix"),
        ),
        migrations.RunSQL(BELONGS, "DROP FUNCTION core_transition_of_campaign CASCADE"),
        migrations.RunSQL(BEFORE, migrations.RunSQL.noop),
    ]
