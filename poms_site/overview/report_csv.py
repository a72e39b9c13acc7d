"""A report as a table for spreadsheets: one figure a row, so that rows of many reports can be put below each other."""

from __future__ import annotations

import csv
import io

from poms_site.overview.report_figures import Value
from poms_site.overview.reports import Report, rows_of

COLUMNS = ("period", "name", "begin", "end", "experiment", "stage", "figure", "value", "before", "unit", "words")


def csv_of(found: Report) -> str:
    """Return the report as CSV; an empty experiment is all together, an empty value is one that nothing says."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    period = found.period
    of_period = (period.kind, period.name, period.begin.isoformat(), period.end.isoformat())
    for experiment, stage, figure, value, before in rows_of(found):
        told = (figure.key, _plain(value), _plain(before), figure.unit, figure.word)
        writer.writerow([*of_period, experiment, stage, *told])
    for row in found.failures:
        words = f"Failed: {row.title}".replace("\n", " ")
        writer.writerow([*of_period, "", "", f"failure {row.cause}", row.jobs, "", "", words])
    return text.getvalue()


def _plain(value: Value) -> str:
    """Return a number as programs read it: whole ones whole."""
    return "" if value is None else str(int(value)) if value == int(value) else repr(round(value, 6))
