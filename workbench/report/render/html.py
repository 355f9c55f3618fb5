"""The reviewer's page: one HTML file that asks nothing of any network."""

from __future__ import annotations

import json
from typing import Any

from markupsafe import Markup

from workbench.core.records import Flip
from workbench.core.wire import printable
from workbench.report.excerpts import excerpt
from workbench.report.model import ReportModel
from workbench.report.outputs import shown_outputs
from workbench.report.render import figures
from workbench.report.render.environment import TEMPLATES, html_environment
from workbench.report.sections import SECTIONS
from workbench.report.sign import example_decision

_ISLAND_BYTES = 400_000
"""Room for the flips, out of a megabyte for the page."""
_FLIP_CHARS = 1_200
_FLIPS_WITHOUT_SCRIPT = 10


def render_html(model: ReportModel) -> str:
    """The page as one string, under 1 MB; the same model gives the same bytes."""
    flips, left_out = _fitting(model.flips.shown)
    page = html_environment().get_template("page.html.j2")
    return page.render(
        model=model,
        sections=[section for section in SECTIONS if section.present(model)],
        css=Markup((TEMPLATES / "page.css").read_text(encoding="utf-8")),
        js=Markup((TEMPLATES / "page.js").read_text(encoding="utf-8")),
        figures=figures,
        flip_data=json_island(flips),
        flips_left_out=left_out,
        first_flips=flips[:_FLIPS_WITHOUT_SCRIPT],
        decision_example=example_decision(model.target),
    )


def json_island(value: Any) -> Markup:
    """JSON that can stand in a script element: no `<`, `>` or `&` is left in it."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def _fitting(flips: tuple[Flip, ...]) -> tuple[list[dict[str, str]], int]:
    """As many flips as there is room for, from the start, and how many are left out."""
    entries: list[dict[str, str]] = []
    used = 0
    for flip in flips:
        entry = _entry(flip)
        used += len(json_island(entry).encode("utf-8")) + 1
        if used > _ISLAND_BYTES:
            break
        entries.append(entry)
    return entries, len(flips) - len(entries)


def _entry(flip: Flip) -> dict[str, str]:
    before, after = shown_outputs(flip)
    texts = {"prompt": flip.prompt, "target": flip.target, "before": before, "after": after, "group": flip.group or ""}
    shown = {name: printable(excerpt(text, _FLIP_CHARS)) for name, text in texts.items()}
    return {"kind": flip.kind, "suite": flip.suite} | shown
