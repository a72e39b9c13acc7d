"""What Prometheus is told: how much there is of what, how old the oldest is, and whether the loops turn.

Each is one statement over counters or over what is open, so a scrape costs the same whatever the history is.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.db import connection

from core import loops
from submissions.states import IN_BATCH_SYSTEM, JOB_STATES, OPEN_BATCH, UNFINISHED


@dataclass(frozen=True)
class Measurement:
    """One family of figures: its name (with its unit), what it means, its labels, and a value for each."""

    name: str
    help: str
    labels: tuple[str, ...]
    values: list[tuple[tuple[str, ...], float]]
    kind: str = "gauge"


@dataclass(frozen=True)
class _Asked:
    """A family and the statement that gives its labels and value; words in braces are sets of states."""

    name: str
    help: str
    labels: tuple[str, ...]
    statement: str
    kind: str = "gauge"


_WORDS = {"in_system": IN_BATCH_SYSTEM, "unfinished": UNFINISHED, "open": OPEN_BATCH, "job_states": list(JOB_STATES)}
_ASKED = (
    _Asked("poms_jobs", "Jobs of submissions that are in a batch system, by our own count.",
           ("experiment", "system", "state"),
           """SELECT e.name, s.system, (ARRAY{job_states})[c.state_code + 1], sum(c.n)::float8
               FROM submissions_submission s JOIN submissions_jobcount c ON c.submission_id = s.id AND c.n > 0
               JOIN experiments_experiment e ON e.id = s.experiment_id
               WHERE s.state IN {in_system} GROUP BY 1, 2, 3"""),
    _Asked("poms_submissions", "Submissions that have not ended.", ("experiment", "state"),
           """SELECT e.name, s.state, count(*)::float8 FROM submissions_submission s
               JOIN experiments_experiment e ON e.id = s.experiment_id WHERE s.state IN {unfinished} GROUP BY 1, 2"""),
    _Asked("poms_batches", "Batches that have not ended.", ("experiment", "state"),
           """SELECT e.name, b.state, count(*)::float8 FROM submissions_batch b
               JOIN experiments_experiment e ON e.id = b.experiment_id WHERE b.state IN {open} GROUP BY 1, 2"""),
    _Asked("poms_campaigns", "Campaigns that are approved or run.", ("experiment", "state"),
           """SELECT e.name, c.state, count(*)::float8 FROM campaigns_campaign c
              JOIN experiments_experiment e ON e.id = c.experiment_id
              WHERE c.state IN ('approved', 'running') GROUP BY 1, 2"""),
    _Asked("poms_requests_waiting", "Requests that wait for a decision.", ("experiment",),
           """SELECT e.name, count(*)::float8 FROM approvals_request r
              JOIN experiments_experiment e ON e.id = r.experiment_id
              WHERE r.state = 'pending_approval' GROUP BY 1"""),
    _Asked("poms_oldest_in_state_seconds", "For how long the oldest has been in its state.", ("kind", "state"),
           """SELECT kind, state, extract(epoch FROM clock_timestamp() - min(state_since))::float8 FROM (
                  SELECT 'submission' AS kind, state, state_since FROM submissions_submission
                  WHERE state IN {unfinished}
                  UNION ALL SELECT 'batch', state, state_since FROM submissions_batch WHERE state IN {open}
                  UNION ALL SELECT 'request', state, state_since FROM approvals_request
                  WHERE state IN ('pending_approval', 'returned')) t GROUP BY 1, 2"""),
    _Asked("poms_inbox_reports", "Reports of jobs that are not merged yet.", (),
           "SELECT count(*)::float8 FROM (SELECT 1 FROM submissions_report LIMIT 100000) r"),
    _Asked("poms_inbox_oldest_seconds", "Age of the oldest report of a job that is not merged yet; 0 if there is none.",
           (), """SELECT coalesce(extract(epoch FROM clock_timestamp() - min(received_at))::float8, 0)
                  FROM submissions_report"""),
    _Asked("poms_observed_seconds_ago", "How long ago a batch system was asked last what has changed.", ("system",),
           """SELECT name, extract(epoch FROM clock_timestamp() - looked_at)::float8 FROM integrations_batchsystem
              WHERE looked_at IS NOT NULL"""),
    _Asked("poms_batch_system_answers", "Whether a batch system answered when it was asked last (1) or not (0).",
           ("system",),
           """SELECT name, CASE error WHEN '' THEN 1 ELSE 0 END FROM integrations_batchsystem
              WHERE looked_at IS NOT NULL"""),
    _Asked("poms_slots", "Slots of a batch system, as it said last.", ("system",),
           """SELECT s.name, p.slots::float8 FROM submissions_pool p
              JOIN integrations_batchsystem s ON s.id = p.system_id"""),
    _Asked("poms_holds", "Holds that stand.", ("scope",),
           """SELECT scope, count(*)::float8 FROM submissions_hold
              WHERE released_at IS NULL AND (until IS NULL OR until > clock_timestamp()) GROUP BY 1"""),
    _Asked("poms_service_up", "Whether a service is up (1), degraded (0.5) or down (0); unknown ones are left out.",
           ("experiment", "service"),
           """SELECT coalesce(e.name, 'all'), s.name, CASE s.state WHEN 'up' THEN 1 WHEN 'degraded' THEN 0.5 ELSE 0 END
              FROM integrations_service s LEFT JOIN experiments_experiment e ON e.id = s.experiment_id
              WHERE s.active AND s.state IN ('up', 'degraded', 'down')"""),
    _Asked("poms_credential_ends_in_seconds", "When a credential ends, from now; negative: it has ended.",
           ("experiment", "credential"),
           """SELECT e.name, c.name, extract(epoch FROM c.ends_at - clock_timestamp())::float8
              FROM integrations_credential c JOIN experiments_experiment e ON e.id = c.experiment_id
              WHERE c.active AND c.ends_at IS NOT NULL"""),
    _Asked("poms_messages_waiting", "Mails and calls of webhooks that wait to go out.", ("channel",),
           "SELECT channel, count(*)::float8 FROM integrations_message WHERE due_at IS NOT NULL GROUP BY 1"),
    _Asked("poms_bells_waiting", "Bells that no worker has answered yet.", (),
           "SELECT count(*)::float8 FROM django_q_ormq"),
    _Asked("poms_troubles", "Rows that a loop could not step; parked ones wait for a person.", ("loop", "parked"),
           """SELECT loop, CASE WHEN next_at IS NULL THEN 'yes' ELSE 'no' END, count(*)::float8
              FROM core_trouble GROUP BY 1, 2"""),
    _Asked("poms_steps_today", "Steps of the ledger on this day (UTC), such as launches; begins anew at midnight.",
           ("experiment", "kind", "verb"),
           """SELECT e.name, t.kind, t.verb, t.n FROM experiments_experiment e CROSS JOIN LATERAL (
                  SELECT kind, verb, sum(n)::float8 AS n FROM submissions_steptally
                  WHERE experiment_id = e.id AND day = (clock_timestamp() AT TIME ZONE 'UTC')::date
                  GROUP BY 1, 2) t"""),
    _Asked("poms_loop_steps", "Steps that a loop has done since it first ran.", ("loop",),
           "SELECT loop, steps::float8 FROM core_heartbeat", "counter"),
    _Asked("poms_loop_errors", "Passes of a loop that ended in an error.", ("loop",),
           "SELECT loop, errors::float8 FROM core_heartbeat", "counter"),
    _Asked("poms_loop_failed_in_a_row", "Passes of a loop that have failed since the last that ended.", ("loop",),
           "SELECT loop, failed_in_a_row::float8 FROM core_heartbeat"),
    _Asked("poms_loop_last_pass_seconds", "How long the last pass of a loop took.", ("loop",),
           """SELECT loop, extract(epoch FROM ended_at - started_at)::float8 FROM core_heartbeat
              WHERE ended_at >= started_at"""),
    _Asked("poms_loop_beat_seconds_ago", "How long ago a loop began its last pass.", ("loop",),
           """SELECT loop, extract(epoch FROM clock_timestamp() - started_at)::float8 FROM core_heartbeat
              WHERE started_at IS NOT NULL"""),
)  # fmt: skip


def measure() -> list[Measurement]:
    """Return every family with its values now."""
    return [*(_answered(asked) for asked in _ASKED), _periods()]


def _answered(asked: _Asked) -> Measurement:
    with connection.cursor() as cursor:
        cursor.execute(asked.statement.format(**_WORDS))
        values = [(tuple(str(label) for label in labels), float(value)) for *labels, value in cursor.fetchall()]
    return Measurement(asked.name, asked.help, asked.labels, values, asked.kind)


def _periods() -> Measurement:
    values: list[tuple[tuple[str, ...], float]] = [((row.name,), float(row.period)) for row in loops.all_loops()]
    return Measurement("poms_loop_period_seconds", "How often a loop passes at least.", ("loop",), values)
