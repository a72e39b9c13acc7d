"""A report as a PDF of a page or two, for those who read on paper. The only module that knows the PDF library."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any
from xml.sax.saxutils import escape

from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle, getSampleStyleSheet
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.platypus import Flowable, Paragraph, SimpleDocTemplate, Spacer, Table, TableStyle

from poms_site.overview import words
from poms_site.overview.report_figures import BY_KEY, FIGURES
from poms_site.overview.report_words import change, told
from poms_site.overview.reports import Line, Report

# The library brings this font with it; unlike the standard ones of PDF it has more than Latin letters.
FONT, BOLD = "Vera", "VeraBd"
MOST_STAGES = 20
_LINE, _DIM = colors.HexColor("#d5dce4"), colors.HexColor("#4a5665")


def pdf_of(found: Report) -> bytes:
    """Return the report as a PDF; the same report gives the same bytes."""
    for name in (FONT, BOLD):
        pdfmetrics.registerFont(TTFont(name, f"{name}.ttf"))
    out = io.BytesIO()
    title = f"POMS: {found.period.title}"
    pages = SimpleDocTemplate(
        out, pagesize=A4, title=title, author="POMS", invariant=1, leftMargin=15 * mm, rightMargin=15 * mm,
        topMargin=14 * mm, bottomMargin=14 * mm,
    )  # fmt: skip
    pages.build(_story(found), onFirstPage=_foot(found), onLaterPages=_foot(found))
    return out.getvalue()


def _story(found: Report) -> list[Flowable]:
    style = getSampleStyleSheet()
    head = ParagraphStyle("head", style["Heading1"], fontName=BOLD, fontSize=15, spaceAfter=2)
    part = ParagraphStyle("part", style["Heading2"], fontName=BOLD, fontSize=10.5, spaceBefore=8, spaceAfter=3)
    dim = ParagraphStyle("dim", style["Normal"], fontName=FONT, fontSize=8, textColor=_DIM)
    names = ", ".join(row.experiment for row in found.experiments) or "no experiment"
    so_far = "" if found.is_over else "; the period is not over yet"
    story: list[Flowable] = [
        Paragraph(_safe(found.period.title), head),
        Paragraph(_safe(f"{names}; made {words.moment(found.made_at)}{so_far}"), dim),
        Paragraph("All together", part),
        _figures(found.total),
    ]
    if len(found.experiments) > 1:
        chosen = [BY_KEY[key] for key in ("filed", "submitted", "succeeded", "failed", "success", "used", "wasted")]
        rows = [[r.title, *(told(f, r.now[f.key]) for f in chosen)] for r in found.experiments]
        heads = ["Experiment", *(figure.word for figure in chosen)]
        story += [Paragraph("By experiment", part), _table([heads, *rows], [31, 17, 23, 21, 17, 19, 26, 26])]
    if found.stages:
        chosen = [BY_KEY[key] for key in ("succeeded", "failed", "success", "used", "wasted")]
        heads = ["Stage", *(figure.word for figure in chosen)]
        rows = [
            [f"{r.experiment}: {r.title}", *(told(f, r.now[f.key]) for f in chosen)] for r in found.stages[:MOST_STAGES]
        ]
        story += [Paragraph("Costliest stages", part), _table([heads, *rows], [62, 22, 22, 22, 26, 26])]
    if found.failures:
        rows = [[f.title, words.number(f.jobs), told(BY_KEY["used"], f.core_hours)] for f in found.failures]
        story += [
            Paragraph("Most frequent failures", part),
            _table([["How", "Jobs", "Core-hours"], *rows], [120, 30, 30]),
        ]
    if found.keep_ups:
        rows = [[k.title, k.objective, words.words(k.standing), words.number(k.backlog)] for k in found.keep_ups]
        story += [
            Paragraph("Keep-ups", part),
            _table([["What", "Objective", "Now", "Waiting"], *rows], [80, 45, 28, 27]),
        ]
    return [*story, Spacer(1, 3 * mm)]


def _figures(row: Line) -> Table:
    lines = [[f.word, told(f, row.now[f.key]), told(f, row.before[f.key]), change(f, row.now[f.key], row.before[f.key])]
             for f in FIGURES]  # fmt: skip
    return _table([["", "this period", "the one before", "change"], *lines], [75, 35, 35, 35])


def _table(rows: Sequence[Sequence[str]], widths: Sequence[float]) -> Table:
    """Return a table with its head on each page; the first column is words, the others are right."""
    small = ParagraphStyle("cell", fontName=FONT, fontSize=7.5, leading=9)
    right = ParagraphStyle("right", small, alignment=2)
    bold = ParagraphStyle("bold", small, fontName=BOLD)
    right_bold = ParagraphStyle("right-bold", bold, alignment=2)
    cells = [
        [
            Paragraph(
                _safe(text), (bold if column == 0 else right_bold) if number == 0 else small if column == 0 else right
            )
            for column, text in enumerate(row)
        ]
        for number, row in enumerate(rows)
    ]
    table = Table(cells, colWidths=[width * mm for width in widths], repeatRows=1, hAlign="LEFT")
    table.setStyle(
        TableStyle([
            ("LINEBELOW", (0, 0), (-1, -1), 0.25, _LINE), ("VALIGN", (0, 0), (-1, -1), "TOP"),
            ("TOPPADDING", (0, 0), (-1, -1), 1.5), ("BOTTOMPADDING", (0, 0), (-1, -1), 1.5),
            ("LEFTPADDING", (0, 0), (0, -1), 0),
        ])
    )  # fmt: skip
    return table


def _safe(text: str) -> str:
    """Return text as the library's markup takes it, without what its fonts lack."""
    return escape(words.printable(text).replace(words.NARROW_SPACE, "\u00a0"))


def _foot(found: Report) -> Any:
    def draw(canvas: Any, pages: Any) -> None:
        canvas.setFont(FONT, 7)
        canvas.setFillColor(_DIM)
        canvas.drawString(15 * mm, 8 * mm, f"POMS {found.period.name}")
        canvas.drawRightString(A4[0] - 15 * mm, 8 * mm, f"page {pages.page}")

    return draw
