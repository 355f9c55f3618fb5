"""The question of a multiple choice, without the choices: data often has the one without the others.

    without_choices("Which planet has the shortest day?\\nA. Mars\\nB. Jupiter\\nAnswer:")
    ->  "Which planet has the shortest day?"
    without_choices("Which planet has the shortest day?")   ->  None
"""

from __future__ import annotations

import re

_LETTERED = re.compile(r"\s{0,8}\(?([A-Ja-j])[).:]\s{1,8}\S")
_NUMBERED = re.compile(r"\s{0,8}(?:\(?[1-9][).:]|[-*•])\s{1,8}\S")
_LABEL = re.compile(r"\s{0,8}(?:answer\s)?(?:options|choices)\s{0,8}:?\s{0,8}", re.IGNORECASE)
_LABEL_AT_END = re.compile(r"\s(?:answer\s)?(?:options|choices)\s?:?\s{0,8}\Z", re.IGNORECASE)
_FIRST_IN_LINE = re.compile(r"(?:^|(?<=\s))(?:\(A\)|A[).])\s")
_SECOND_IN_LINE = re.compile(r"(?<=\s)(?:\(B\)|B[).])\s")
_LONGEST_IN_LINE = 1000
"""Characters of a choice that is followed by another in the same line."""
_CUE = re.compile(r"\s{0,8}(?:the )?(?:correct )?(?:answer|response)(?: is)?\s{0,8}:?\s{0,8}", re.IGNORECASE)


def without_choices(text: str) -> str | None:
    """What of a prompt is not choices, labels of choices or a final "Answer:"; None if it offers none.

    Choices are lines from "A." on, numbered lines or bullets after a line "Options:", or "(A) this (B) that" in a line.
    """
    lines = text.split("\n")
    start, end = _block(lines)
    if start is not None:
        rest = [line for line in lines[end:] if not _CUE.fullmatch(line)]
        return _question("\n".join([*lines[:start], *rest]))
    place = _in_one_line(text)
    if place is None:
        return None
    line_end = text.find("\n", place[1])
    after = "" if line_end < 0 else text[line_end:]
    return _question(text[: place[0]] + ("" if _CUE.fullmatch(after.strip()) else after))


def _in_one_line(text: str) -> tuple[int, int] | None:
    """Where the first choice of "(A) this (B) that" begins, and where the second does."""
    second = None
    for first in _FIRST_IN_LINE.finditer(text):
        if second is None or second.start() < first.end():
            second = _SECOND_IN_LINE.search(text, first.end())
        if second is None:
            return None
        is_near = second.start() - first.end() <= _LONGEST_IN_LINE
        if is_near and "\n" not in text[first.end() : second.start()]:
            return first.start(), second.start()
    return None


def _question(text: str) -> str:
    return _LABEL_AT_END.sub("", text.rstrip()).strip()


def _block(lines: list[str]) -> tuple[int | None, int]:
    """First line of the choices (or of their label) and the first after them."""
    for start, line in enumerate(lines):
        if _LABEL.fullmatch(line):
            end = _end_of_choices(lines, start + 1, labelled=True)
            if end > start + 2:
                return start, end
        found = _LETTERED.match(line)
        if found and found.group(1) in "Aa":
            end = _end_of_choices(lines, start, labelled=False)
            if end > start + 1:
                return start, end
    return None, 0


def _end_of_choices(lines: list[str], start: int, *, labelled: bool) -> int:
    """The line after the last of the choices that begin at `start`: letters in order, or any marks after a label."""
    end = start
    expected = "a"
    for position in range(start, len(lines)):
        line = lines[position]
        if not line.strip():
            continue
        lettered = _LETTERED.match(line)
        if lettered and lettered.group(1).lower() == expected:
            expected = chr(ord(expected) + 1)
        elif not (labelled and _NUMBERED.match(line)):
            break
        end = position + 1
    return end
