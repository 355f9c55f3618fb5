from __future__ import annotations

import json
import re
from html import unescape
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from report_artifacts import built, make_run
from report_comparison import HOSTILE, flips, generations

from workbench.core.parts import write_rows
from workbench.report.model import ReportModel
from workbench.report.render.environment import TEMPLATES
from workbench.report.render.html import json_island, render_html
from workbench.report.sections import SECTIONS


class Page(HTMLParser):
    """Tags, attributes and text of a page, as a parser that is not a template engine sees them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.scripts: list[str] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.scripts[-1] += data
        else:
            self.text.append(data)

    def attributes(self, name: str) -> list[str]:
        return [value or "" for _, attributes in self.tags for key, value in attributes.items() if key == name]

    def words(self) -> str:
        return " ".join(" ".join(self.text).split())


def island(page: Page) -> list[dict[str, Any]]:
    return next(json.loads(script) for script in page.scripts if script.startswith("["))


def test_the_page_is_one_file_that_asks_for_nothing(model: ReportModel) -> None:
    page = Page(render_html(model))
    assert all(address.startswith("#") or address == "data:," for address in page.attributes("href"))
    assert page.attributes("src") == []
    assert page.attributes("action") == []
    assert not {tag for tag, _ in page.tags} & {"iframe", "object", "embed", "base", "img", "audio", "video"}
    policy = next(attributes["content"] or "" for tag, attributes in page.tags if "http-equiv" in attributes)
    wanted = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"
    assert policy.startswith(wanted)
    style = (TEMPLATES / "page.css").read_text(encoding="utf-8")
    assert "url(" not in style
    assert "@import" not in style


def test_no_hostile_text_becomes_an_element_an_attribute_or_a_script(model: ReportModel) -> None:
    page = Page(render_html(model))
    assert len(page.scripts) == 2
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    assert "window.pwned" in page.words()
    assert "window.pwned" not in page.scripts[-1]


def test_control_and_bidirectional_characters_are_shown_not_sent(model: ReportModel) -> None:
    html = render_html(model)
    assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", html)
    assert r"\x1b]52" in html
    assert r"\u202e" in html


def test_the_island_holds_every_flip_and_no_markup(model: ReportModel) -> None:
    page = Page(render_html(model))
    entries = island(page)
    assert len(entries) == len(model.flips.shown) == 112
    assert "</script><img src=x" in entries[0]["prompt"]
    raw = next(script for script in page.scripts if script.startswith("["))
    assert not set("<>&") & set(raw)


def test_a_json_island_reads_back_as_what_it_was() -> None:
    value = {"text": HOSTILE + "\u2028</script><!--"}
    assert json.loads(str(json_island(value))) == value


def test_a_choice_reads_as_a_sentence(model: ReportModel) -> None:
    entries = island(Page(render_html(model)))
    lost = next(entry for entry in entries if entry["kind"] == "forgotten" and "log-likelihood" in entry["before"])
    assert lost["before"] == "Quito\nchoice 1 of 4, log-likelihood −1.25; the next best −2.20"
    assert lost["after"] == "choice 4 of 4, log-likelihood −2.50; the right choice −2.75"


@pytest.mark.parametrize("state", ["passed", "inconclusive", "regressed", "not comparable"])
def test_every_state_has_its_page_with_the_verdict_first(tmp_path: Path, state: str) -> None:
    model = built(make_run(tmp_path, state))
    page = Page(render_html(model))
    words = page.words()
    assert words.index(model.verdict.headline) < words.index("Suite by suite")
    headings = [tag for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert headings.count("h1") == 1
    assert headings[0] == "h1"
    levels = [int(tag[1]) for tag in headings]
    assert all(later - earlier <= 1 for earlier, later in pairwise(levels))


def test_the_paired_table_shows_every_suite_with_interval_and_state(model: ReportModel) -> None:
    words = Page(render_html(model)).words()
    for piece in ("+0.70 nats/token", "[+0.66, +0.74]", "−12 +26", "noise flips 3", "Holm p < 0.001", "inconclusive"):
        assert piece in words
    for row in model.comparison.pairs[0].suites:
        assert row.suite in words


def test_an_effect_that_did_not_regress_is_never_red(model: ReportModel) -> None:
    html = render_html(model)
    assert not re.search(r'class="(?:gain|number|forest) bad"', html)
    assert html.count('class="state bad"') == 1, "only the legend shows what red means"
    assert re.search(r'class="gain neutral">−4.2 points', html)


def test_regressed_is_said_with_glyph_word_and_colour(tmp_path: Path) -> None:
    html = render_html(built(make_run(tmp_path, "regressed")))
    assert re.search(r'class="state bad"><span class="glyph" aria-hidden="true">▼</span> regressed', html)


def test_every_table_header_has_a_scope_and_every_label_a_control(model: ReportModel) -> None:
    page = Page(render_html(model))
    headers = [attributes for tag, attributes in page.tags if tag == "th"]
    assert headers
    assert all(attributes.get("scope") in ("col", "row", "rowgroup") for attributes in headers)
    tables = [tag for tag, _ in page.tags if tag in ("table", "caption")]
    assert tables.count("table") == tables.count("caption")
    pictures = [attributes for tag, attributes in page.tags if tag == "svg"]
    assert all("aria-label" in attributes or "aria-hidden" in attributes for attributes in pictures)


def test_every_section_is_in_the_registry_and_has_both_templates(model: ReportModel) -> None:
    names = [section.name for section in SECTIONS]
    html = {path.name.removesuffix(".html.j2") for path in (TEMPLATES / "sections").iterdir()}
    markdown = {path.name.removesuffix(".md.j2") for path in (TEMPLATES / "markdown").iterdir()}
    assert html == set(names)
    assert markdown == {*names, "verdict"}
    ids = Page(render_html(model)).attributes("id")
    assert len(ids) == len(set(ids))
    assert set(names) <= set(ids)


def test_parts_a_run_does_not_have_leave_no_empty_sections(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    for name in [name for name in run.inputs if name.partition(":")[0] not in ("compare", "gate")]:
        del run.inputs[name]
    ids = Page(render_html(built(run))).attributes("id")
    assert not {"training", "data", "generations"} & set(ids)
    assert "results" in ids


def test_the_same_model_gives_the_same_bytes(model: ReportModel) -> None:
    assert render_html(model) == render_html(ReportModel.model_validate_json(model.model_dump_json()))


def test_the_page_stays_below_a_megabyte_whatever_the_texts(tmp_path: Path) -> None:
    run = make_run(tmp_path, max_flips=5000)
    longest = "<&>\u202e" * 5000
    texts = {"prompt": longest, "target": longest, "before_output": longest, "after_output": longest}
    many = [flip.model_copy(update=texts) for flip in flips() * 3]
    write_rows(run.inputs["compare"].part("flips.jsonl"), many)
    for name in (run.config.before, run.config.after):
        answers = [answer.model_copy(update={"output": longest, "prompt": longest}) for answer in generations(name)]
        write_rows(run.inputs[f"score:{name}"].part("generations.jsonl"), answers)
    html = render_html(built(run))
    assert len(html.encode("utf-8")) < 1_000_000
    assert "left out here to keep the page small" in html


def test_first_and_last_answer_in_training_stand_beside_the_data(model: ReportModel) -> None:
    (sample,) = model.training.samples if model.training else ()
    assert (sample.first_step, sample.last_step) == (0, 60)
    words = Page(render_html(model)).words()
    assert "held-back prompts" in words and "Step 0" in words and "Step 60" in words
    assert "answer at 0" in words and "answer at 60" in words and "answer at 30" not in words


def test_clusters_lengths_and_balance_of_the_data_are_shown(model: ReportModel) -> None:
    words = Page(render_html(model)).words()
    assert "85 records, one kept" in words and "Jaccard similarity to it from 0.74" in words
    assert "Jaccard 0.74: What does function 1 do??" in words and "31 records, one kept" in words
    assert "p50 31, p90 140, p99 420, max 1,810; 140,000 in all" in words
    assert "A limit of 512 cuts 12 records (3,456 tokens)" in words
    assert "Balance of the kept records" in words and "os 6.0%" in words
    assert "Variety of the prompts: distinct-2 0.83" in words


def test_the_mixture_says_what_is_replayed_and_why_a_share_was_missed(model: ReportModel) -> None:
    words = Page(render_html(model)).words()
    assert "tickets replay: general data against forgetting missed: its 6 rows are repeated 4 times" in words
    assert words.count("general data against forgetting") == 1 and words.count("missed: its") == 1


def test_only_texts_that_may_have_to_be_scrolled_are_stops_of_the_keyboard(model: ReportModel) -> None:
    html = render_html(model)
    texts = re.findall(r'<div class="text"([^>]*)>(.*?)</div>', html, re.DOTALL)
    long = [bool(len(unescape(text)) > 200 or text.count("\n") > 6) for _, text in texts]
    assert 0 < sum(long) < len(long) / 2
    assert ["tabindex" in attributes for attributes, _ in texts] == long
