from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from report_artifacts import built, make_run
from report_comparison import HOSTILE, flips

from workbench.core.parts import write_rows
from workbench.report.model import ReportModel
from workbench.report.render.markdown import _code, _escaped, render_markdown
from workbench.report.sections import SECTIONS

MARKDOWN = MarkdownIt("commonmark", {"html": True}).enable("table")


class Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, list[tuple[str, str | None]]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, attrs))


def tags(markdown: str) -> set[str]:
    return {tag for tag, _ in Tags(MARKDOWN.render(markdown)).found}


HARMLESS = {"h1", "h2", "h3", "p", "ul", "li", "table", "thead", "tbody", "tr", "th", "td", "code", "strong", "em"}
HARMLESS |= {"blockquote"}


def test_nothing_from_model_or_data_is_markup(model: ReportModel) -> None:
    text = render_markdown(model)
    assert tags(text) <= HARMLESS
    assert "window.pwned" in text
    assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text)


def test_every_row_of_every_table_has_as_many_cells_as_its_header(model: ReportModel) -> None:
    tokens = MARKDOWN.parse(render_markdown(model))
    widths: list[int] = []
    tables = 0
    for token in tokens:
        if token.type == "table_open":
            widths, tables = [], tables + 1
        elif token.type == "tr_open":
            widths.append(0)
        elif token.type in ("td_open", "th_open"):
            widths[-1] += 1
        elif token.type == "table_close":
            assert len(set(widths)) == 1
            assert len(widths) > 1
    assert tables >= 8


@given(st.text(alphabet=st.sampled_from("ab `\\|\n\r*_[]()<>#@!~$&\t-1."), max_size=40))
def test_any_text_in_a_code_span_stays_one_cell_of_code(text: str) -> None:
    rendered = MARKDOWN.render(f"| a | b |\n|---|---|\n| {_code(text)} | end |\n")
    assert rendered.count("<td>") == 2
    assert "<td>end</td>" in rendered
    assert ("<td><code>" in rendered) == bool(text.strip())


@given(st.text(alphabet=st.sampled_from("ab `\\|\n*_[]()<>#!~$&-1."), min_size=1, max_size=40))
def test_any_short_text_is_shown_as_it_is(text: str) -> None:
    inline = MARKDOWN.parse(f"x{_escaped(text)}x")[1]
    assert "".join(child.content for child in inline.children or []) == f"x{' '.join(text.split())}x"


def test_it_says_what_the_page_says(model: ReportModel) -> None:
    text = render_markdown(model)
    assert text.startswith("# ? Inconclusive: demo\n")
    for piece in (
        "+0.70 nats/token",
        "−12 +26",
        "noise flips 3",
        "gradient check 1.0000",
        "workbench demo",
        HOSTILE[:20],
    ):
        assert piece in text
    assert all(f"## {section.title}" in text for section in SECTIONS)


@pytest.mark.parametrize("limit", [1_000_000, 60_000, 8_000])
def test_above_the_limit_sections_are_cut_between_lines_and_stay_valid(tmp_path: Path, limit: int) -> None:
    run = make_run(tmp_path, max_flips=5000)
    many = [flip.model_copy(update={"prompt": f"{index} " + HOSTILE * 5}) for index, flip in enumerate(flips() * 12)]
    write_rows(run.inputs["compare"].part("flips.jsonl"), many)
    model = built(run)
    assert len(render_markdown(model, 10**9).encode("utf-8")) > 1_000_000
    text = render_markdown(model, limit)
    assert len(text.encode("utf-8")) <= limit
    assert "Shortened here to stay within the size limit" in text
    assert tags(text) <= HARMLESS
    assert text.startswith("# ? Inconclusive")
    if limit >= 60_000:
        assert all(f"## {section.title}" in text for section in SECTIONS)
        assert "workbench report RUN --sign DECISION.json" in text


def test_a_short_report_is_not_cut(model: ReportModel) -> None:
    assert "Shortened" not in render_markdown(model)


def test_the_mixture_says_what_is_replayed_and_why_a_share_was_missed(model: ReportModel) -> None:
    lines = render_markdown(model).splitlines()
    assert any(line.startswith("| tickets (replay) | 10.0% |") for line in lines)
    missed = [line for line in lines if "missed its share" in line]
    assert missed == ["- tickets missed its share: its 6 rows are repeated 4 times, the limit \\(mix.max\\_repeat\\)."]
