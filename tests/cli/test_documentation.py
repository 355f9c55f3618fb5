"""README and docs against the program: links lead somewhere, commands and options exist, and none is forgotten."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from workbench.cli.main import app

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
_LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)\s]+))?\)")
_CALL = re.compile(r"`(workbench [^`]+)`|^ *(?:\$ )?(workbench .+)$", re.MULTILINE)


def _anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _calls(page: Path) -> Iterator[list[str]]:
    """The commands of a page, as words without the program's name; comments, pipes and redirections cut off."""
    text = re.sub(r"\\\n *", " ", page.read_text(encoding="utf-8"))
    for number, piece in enumerate(re.split(r"^```.*$", text, flags=re.MULTILINE)):
        in_block = number % 2 == 1
        for inline, line in _CALL.findall(piece):
            try:
                words = shlex.split(inline or re.split(r"  +(?!-)", line)[0], comments=True)
            except ValueError as error:
                assert not in_block, f"{page.name}: {error}: {line}"
                continue  # a sentence with an apostrophe
            end = next((at for at, word in enumerate(words) if word in ("|", ">", "&&") or word.startswith("->")), None)
            yield words[1:end]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target, anchor in _LINK.findall(page.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        found = page.parent / target if target else page
        assert found.exists(), f"{page.name}: {target}"
        assert not anchor or anchor in _anchors(found), f"{page.name}: {target}#{anchor}"


def test_every_page_is_linked_from_the_first() -> None:
    linked = {Path(target).name for target, _ in _LINK.findall(PAGES[0].read_text(encoding="utf-8"))}
    assert {page.name for page in PAGES[1:]} <= linked


def test_the_first_page_names_every_command() -> None:
    text = PAGES[0].read_text(encoding="utf-8")
    assert {name for name in get_command(app).commands if not re.search(rf"`(workbench )?{name}[` ]", text)} == set()


def test_a_call_over_two_lines_is_read_whole_and_one_that_cannot_be_read_is_reported(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```\n$ workbench run \\\n    --no-such\n```\nIt isn't\nworkbench if it isn't.\n")
    assert list(_calls(page)) == [["run", "--no-such"]]
    page.write_text("```\nworkbench run 'a\n```\n")
    with pytest.raises(AssertionError, match="No closing quotation"):
        list(_calls(page))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_and_their_options_exist(page: Path) -> None:
    top = get_command(app)
    for words in _calls(page):
        command, rest = top, words[2:] if words[:1] == ["-C"] else words
        while isinstance(command, TyperGroup) and rest and not rest[0].startswith("-"):
            assert rest[0].rstrip(",.;:") in command.commands, f"{page.name}: workbench {' '.join(words)}"
            command, rest = command.commands[rest[0].rstrip(",.;:")], rest[1:]
        known = {option for parameter in command.params for option in parameter.opts} | {"--help", "-h"}
        typed = {word.partition("=")[0].rstrip(",.;:") for word in rest if re.match(r"--?[a-z]", word)}
        assert typed <= known, f"{page.name}: workbench {' '.join(words)}"
