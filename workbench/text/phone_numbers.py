"""Telephone numbers in a text.

    list(phone_spans("Ring +44 20 7946 0018 or (415) 555-0132."))   ->  [(5, 21), (25, 39)]
    list(phone_spans("Tel. 7946 0018"))                             ->  [(5, 14)]      (a word before it says so)
    list(phone_spans("Order 79460018, ISBN 978-3-16-148410-0"))     ->  []

Without a word that says so, a number counts in these forms: international with a country code that exists; North
American with area code and exchange that exist; national with a leading 0 and groups; Brazilian; Chinese mobile numbers
in Chinese text. Free-call numbers belong to nobody and are left alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import pairwise

_RUN = re.compile(r"[+(]{0,2}\d[\d ().\-/\u00a0\u2010-\u2013]{5,}\d")
"""Everything a telephone number is written with: longer than one number where several stand side by side."""
_INTERNATIONAL = re.compile(r"(?:\+|(?<!\d)00(?=[1-9]))(?:\d[ ().\-/\u00a0\u2010-\u2013]{0,3}){7,14}\d(?!\d)")
_NORTH_AMERICAN = re.compile(
    r"(?<![\d.+\-/])(?:\+?1[ .-]?)?(?:\([2-9]\d\d\)[ .-]?|[2-9]\d\d[ .-])(?:(?<=555..)|(?<=555.)|(?=[2-9]))\d{3}"
    r"[ .-]\d{4}(?![\d/]|[.-]\d)"
)
"""Exchanges begin with 2 to 9, but behind the area code 555, which is everybody's made-up number."""
_UNGROUPED = re.compile(r"\+1[2-9]\d{2}[2-9]\d{6}(?!\d)")
_NATIONAL = re.compile(
    r"(?<![\d.,+\-/])(?:\(0[1-9]\d{0,4}\)[ -]?|0[1-9]\d{0,4}[ ./-])\d{2,8}(?:[ .-]\d{2,5}){0,4}(?![\d/]|[.,-]\d)"
)
_BRAZILIAN = re.compile(r"\([1-9]\d\) ?9?\d{4}-\d{4}(?![\d/]|[.-]\d)")
_CHINESE_MOBILE = re.compile(r"(?<![\d.+\-/])1[3-9]\d(?:\d{8}|[ -]\d{4}[ -]\d{4})(?![\d/]|[.-]\d)")
_AFTER_A_WORD = re.compile(r"[+(]{0,2}\d[\d().]{0,14}(?:[ /\-\u00a0\u2010-\u2013]{1,2}\(?\d[\d().]{0,14}){0,6}")

_SAYS_PHONE = re.compile(
    r"(?:\b(?:tele)?(?:phone|fone|fono|fon|fax)|\btel\.?|\bmobile|\bcell|\bcall|\bdial|\bring|\btext|\bwhats ?app"
    r"|\bhotline|\bhandy|\btél\.?|\btéléphone|\bm[óo]vil|\btel[ée]fono|\bcelular|\bтел\.?|\bтелефон|电话|手机|電話|联系方式|전화)"
    r"(?:[\s_:：#\"'=(-]|\.\s|number|no\b|num|nr|is|at|me|us|on|or|号码?|番号|번호|是|为){0,8}\Z",
    re.IGNORECASE,
)
_WORD_WINDOW = 40
_SAYS_OTHERWISE = re.compile(
    r"(?:isbn|issn|doi|order|invoice|serial|part|item|model|ticket|tracking|account|id|ref|version|单号|编号|订单|番号)\W{0,3}"
    r"(?:number|no|nr|num|#|id)?\W{0,4}\Z",
    re.IGNORECASE,
)
_HAN = re.compile(r"[\u4e00-\u9fff]")
_DATE = re.compile(r"\(?(?:\d{4}[-/. ]\d{1,2}[-/. ]\d{1,2}|\d{1,2}[-/. ]\d{1,2}[-/. ](?:19|20)\d\d)(?!\d)")
_YEARS = re.compile(r"(?:1[5-9]|20)\d\d ?[-/\u2013] ?(?:1[5-9]|20)\d\d\b")
_FREE = frozenset({"800", "833", "844", "855", "866", "877", "888"})
_COUNTRY = re.compile(
    r"7|20|27|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]|(?:2[1-69]|3[578]|42|50|59|6[789]|8[058]|9[679])\d"
)
"""Country codes but 1 (ITU-T E.164)."""
_SSN_SHAPE = re.compile(r"\d{3}-\d\d-\d{4}")


def phone_spans(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of every telephone number in `text`, in order and without overlap."""
    for run in _RUN.finditer(text):
        start, end = run.span()
        if start and (_belongs_to_a_word(text[start - 1]) or _is_added(text, start)):
            continue
        if _said_before(_SAYS_PHONE, text, start) and (named := _named_number(text, start, end)):
            yield named
            start = named[1]
        elif _said_before(_SAYS_OTHERWISE, text, start):
            continue
        yield from _by_form(text, start, end)


def _belongs_to_a_word(before: str) -> bool:
    return before in "_=&%$€£#@" or (before.isascii() and before.isalpha())


def _is_added(text: str, start: int) -> bool:
    """Whether the plus sign at `start` follows a number: arithmetic, unless that number has a plus sign itself."""
    before = text[max(0, start - _WORD_WINDOW) : start].rstrip()
    if text[start] != "+" or not before[-1:].isdigit():
        return False
    return not re.search(r"\+[\d ().-]*\Z", before)


def _said_before(pattern: re.Pattern[str], text: str, start: int) -> bool:
    return pattern.search(text[max(0, start - _WORD_WINDOW) : start]) is not None


def _named_number(text: str, start: int, end: int) -> tuple[int, int] | None:
    """The number after a word for telephone, whatever its form, unless it is a date or counts from 1 to 0."""
    found = _AFTER_A_WORD.match(text, start, end)
    if found is None:
        return None
    number = found.group()
    digits = _digits(number)
    if not 7 <= len(digits) <= 15 or not _could_be_given_out(digits) or _DATE.match(number) or _YEARS.match(number):
        return None
    if len(digits) in (10, 11) and digits[-10:-7] in _FREE:
        return None
    return found.span()


def _by_form(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The stretches of a run that are telephone numbers by their form alone; of several at one place, the longest."""
    spans = []
    for pattern, length in _FORMS:
        for found in pattern.finditer(text, start, min(end + 2, len(text))):
            accepted = length(found.group(), text)
            if accepted:
                spans.append((found.start(), found.start() + accepted))
    taken = start
    for first, last in sorted(spans, key=lambda span: (span[0], -span[1])):
        if first >= taken:
            yield first, last
            taken = last


def _international(number: str, text: str) -> int:
    """Length of an international number: with a country code that exists, and without a stray figure at its end."""
    digits = _digits(number).removeprefix("00") if number.startswith("0") else _digits(number)
    if digits.startswith("1"):
        found = _NORTH_AMERICAN.match(number) or _UNGROUPED.match(number)
        return _north_american(found.group(), text) if found else 0
    if _COUNTRY.match(digits) is None or (number.startswith("00") and number.isdigit()):
        return 0
    number = re.sub(r"[ ().\-/\u00a0\u2010-\u2013]+\d\Z", "", number)
    figures = len(_digits(number))
    in_thousands = re.fullmatch(r"\+\d{1,3}(?:[ .]\d{3})+", number)
    return len(number) if (10 if in_thousands else 9) <= figures <= 15 and _could_be_given_out(digits) else 0


def _north_american(number: str, text: str) -> int:
    """Length of a number with area code and exchange; with spaces alone between its groups it is just three numbers."""
    digits = _digits(number)[-10:]
    marked = number.startswith(("+", "(")) or "-" in number or number.count(".") == 2
    if not marked or digits[:3] in _FREE or digits[1:3] == "11" or digits[4:6] == "11":
        return 0
    return len(number) if _could_be_given_out(digits) else 0


def _national(number: str, text: str) -> int:
    """Length of a number with a leading 0 of 9 to 12 figures."""
    digits = _digits(number)
    pairs = re.findall(r"\d+", number)
    counts_up = len(pairs) > 2 and all(int(right) == int(left) + 1 for left, right in pairwise(pairs))
    years = len(pairs) > 2 and all(len(pair) == 4 and pair[:2] in ("19", "20") for pair in pairs[1:])
    shaped_otherwise = counts_up or years or _DATE.match(number) or _SSN_SHAPE.fullmatch(number)
    if shaped_otherwise or not 9 <= len(digits) <= 12 or not _could_be_given_out(digits):
        return 0
    return len(number)


def _whole(number: str, text: str) -> int:
    return len(number) if _could_be_given_out(_digits(number)) else 0


def _in_chinese(number: str, text: str) -> int:
    return len(number) if _HAN.search(text) else 0


_FORMS: tuple[tuple[re.Pattern[str], Callable[[str, str], int]], ...] = (
    (_INTERNATIONAL, _international),
    (_NORTH_AMERICAN, _north_american),
    (_NATIONAL, _national),
    (_BRAZILIAN, _whole),
    (_CHINESE_MOBILE, _in_chinese),
)


def _digits(number: str) -> str:
    return "".join(character for character in number if character in "0123456789")


def _could_be_given_out(digits: str) -> bool:
    """Whether the figures are not those of a placeholder: one figure throughout, or 1234567890."""
    return len(set(digits)) > 2 and digits not in ("1234567890", "0123456789", "123456789", "1234567")
