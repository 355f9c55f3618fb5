"""Secrets in a text: keys of well-known services, private keys, tokens, passwords in addresses and assignments.

    list(secret_spans("export GITHUB_TOKEN=ghp_..."))         ->  [(20, 60)]
    list(secret_spans("password = 'Tr0ub4dor&3'"))             ->  [(12, 23)]
    list(secret_spans("api_key = YOUR_API_KEY"))               ->  []        (a placeholder)
    list(secret_spans("token = tokenizer.decode(ids)"))        ->  []        (code)

A key counts if it has its service's prefix, alphabet and length, a JSON Web Token if its header decodes, an assigned
value if it looks drawn rather than written. Words that examples are made of count for nothing.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator

_KEYS: dict[str, tuple[tuple[str, re.Pattern[str]], ...]] = {
    sign: tuple((hint, re.compile(rf"(?<![A-Za-z0-9_-]){pattern}(?![A-Za-z0-9_-])")) for hint, pattern in keys)
    for sign, keys in (
        (
            "A",
            (
                ("AKIA", r"AKIA[A-Z0-9]{16}"),
                ("ASIA", r"ASIA[A-Z0-9]{16}"),
                ("AIza", r"AIza[A-Za-z0-9_-]{35}"),
            ),
        ),
        (
            "_",
            (
                ("gh", r"gh[pousr]_[A-Za-z0-9]{36,255}"),
                ("github_pat_", r"github_pat_[A-Za-z0-9_]{50,255}"),
                ("_live_", r"[rs]k_live_[A-Za-z0-9]{16,128}"),
                ("_test_", r"[rs]k_test_[A-Za-z0-9]{16,128}"),
                ("hf_", r"hf_[A-Za-z0-9]{30,64}"),
                ("npm_", r"npm_[A-Za-z0-9]{36}"),
            ),
        ),
        (
            "-",
            (
                ("sk-", r"sk-(?:ant-|proj-|svcacct-|admin-|or-v1-)?[A-Za-z0-9_-]{20,240}"),
                ("glpat-", r"glpat-[A-Za-z0-9_-]{20,64}"),
                ("xox", r"xox[abeoprs](?:-[A-Za-z0-9]{1,64}){2,6}"),
                ("pypi-", r"pypi-AgE[A-Za-z0-9_-]{50,400}"),
            ),
        ),
        (
            ".",
            (
                ("SG.", r"SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}"),
                ("hooks.slack", r"hooks\.slack\.com/services/T[A-Z0-9]{6,12}/B[A-Z0-9]{6,12}/[A-Za-z0-9]{20,32}"),
            ),
        ),
    )
}
"""Two pieces that the text must contain, the rarer one second, and then the key."""
_KEY_BLOCK = re.compile(r"-----BEGIN ([A-Z ]{0,40}PRIVATE KEY)(?: BLOCK)?-----")
_TOKEN = re.compile(
    r"(?<![A-Za-z0-9_-])(eyJ[A-Za-z0-9_-]{10,2000})\.eyJ[A-Za-z0-9_-]{5,8000}\.[A-Za-z0-9_-]{10,2000}(?![A-Za-z0-9_-])"
)
_IN_ADDRESS = re.compile(r"://[^\s/:@\"'<>]{0,64}:([^\s/:@\"'<>]{3,128})@[\w.-]")
_ASSIGNED_TO = (
    r"(?:pass(?:word|wd|phrase)|pwd|secret(?:[_-]?access)?(?:[_-]?key)?|api[ _-]?(?:key|token|secret)"
    r"|access[_-]?(?:key|token)|auth[_-]?token|client[_-]?secret|private[_-]?key|bearer|密码|口令)"
)
_ASSIGNMENT = re.compile(
    rf"{_ASSIGNED_TO}[\"'`]?\s{{0,3}}(?::=|=>|=|:|：|\bis\b)\s{{0,3}}(?:Bearer\s)?"
    r"(?:\"([!#-~]{6,200})\"|'([!-&(-~]{6,200})'|`([!-_a-~]{6,200})`|([!#-&*+./0-:=?-Z\\^_a-z|~-]{6,200}))",
    re.IGNORECASE,
)
_ASSIGNMENT_HINTS = (
    "passw", "passphr", "pwd", "secret", "token", "bearer", "_key", "-key", "api key", "apikey", "sskey",
    "密码", "口令",
)  # fmt: skip

_PLACEHOLDER = re.compile(
    r"your|example|sample|placeholder|change|insert|replace|enter|dummy|redacted|hidden|secret|passw|passphrase|api_?key|token"
    r"|foo|bar\b|baz|test|demo|fake|todo|none|null|true|false|xxx|\*\*|\.\.\.|…|<|\$\{|\{\{|%\(|12345|abcde|abc123|qwerty|admin"
    r"|process\.env|os\.env|getenv|hunter2",
    re.IGNORECASE,
)
"""What examples and references are made of."""
_PLACEHOLDER_KEY = re.compile(r"your|example|placeholder|xxxx|redacted|\*\*", re.IGNORECASE)


def secret_spans(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of every secret in `text`; they may overlap."""
    if "://" in text and "@" in text:
        for address in _IN_ADDRESS.finditer(text):
            if not _PLACEHOLDER.search(address.group(1)) and len(set(address.group(1))) >= 3:
                yield address.span(1)
    if not any(map(text.__contains__, "0123456789")):
        return  # nothing else that counts is without a digit
    for pattern in _key_patterns(text):
        for key in pattern.finditer(text):
            if _looks_issued(key.group()):
                yield key.span()
    if "PRIVATE KEY" in text:
        yield from _key_blocks(text)
    if "eyJ" in text:
        for token in _TOKEN.finditer(text):
            if _is_token_header(token.group(1)):
                yield token.span()
    if any(map(text.lower().__contains__, _ASSIGNMENT_HINTS)):
        yield from _assigned(text)


def _key_patterns(text: str) -> Iterator[re.Pattern[str]]:
    for sign, keys in _KEYS.items():
        if sign in text:
            for hint, pattern in keys:
                if hint in text:
                    yield pattern


def _looks_issued(key: str) -> bool:
    """Whether a key is drawn at random: with a digit, with many signs, and nobody's example."""
    drawn = len(set(key)) >= 10 and any(sign.isdigit() for sign in key)
    return drawn and _PLACEHOLDER_KEY.search(key) is None


def _key_blocks(text: str) -> Iterator[tuple[int, int]]:
    """From the first line of a private key to its last, or to the end of what could belong to it."""
    end = 0
    for begin in _KEY_BLOCK.finditer(text):
        if begin.start() < end:
            continue
        closing = f"-----END {begin.group(1)}"
        found = text.find(closing, begin.end(), begin.end() + 20_000)
        body = text[begin.end() : found if found >= 0 else begin.end() + 200]
        if sum(character.isalnum() for character in body) < 40 or _PLACEHOLDER_KEY.search(body[:200]):
            continue
        end = text.find("-----", found + 9) + 5 if found >= 0 else begin.end()
        yield begin.start(), end


def _is_token_header(part: str) -> bool:
    try:
        header = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (binascii.Error, ValueError):
        return False
    return isinstance(header, dict) and "alg" in header


def _assigned(text: str) -> Iterator[tuple[int, int]]:
    for assignment in _ASSIGNMENT.finditer(text):
        group = next(number for number in range(1, 5) if assignment.group(number) is not None)
        value = assignment.group(group)
        if _looks_drawn(value, quoted=group < 4):
            start, end = assignment.span(group)
            yield start, end - (len(value) - len(value.rstrip(".,;:")) if group == 4 else 0)


def _looks_drawn(value: str, *, quoted: bool) -> bool:
    """Whether a value is a password or key rather than a word, a name or code: letters and digits mixed, no example."""
    value = value.rstrip(".,;:!?")
    if len(value) < (6 if quoted else 8) or _PLACEHOLDER.search(value) or len(set(value)) < 5:
        return False
    if not quoted and re.search(r"[()\[\]{}=]|\w\.[a-z_]{2,}|://|/", value):
        return False
    return any(character.isdigit() for character in value) and any(character.isalpha() for character in value)
