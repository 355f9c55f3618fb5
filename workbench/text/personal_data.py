"""Personal data and secrets in a text: where they stand, and the text without them.

    find("Write to ann.lee@acme.io or +44 20 7946 0018")
        ->  [Found("email", 9, 23, "a***@a***.io"), Found("phone", 27, 43, "+** ** **** **18")]
    masked("Card 4111 1111 1111 1111")  ->  "Card <CARD>"
    find("Order 4111 1111 1111 1112, released 2024-05-06, from 10.2.3.4")
        ->  []                                                 (Luhn's checksum fails; a date; a private address)

Numbers must pass the checks that their kind has: Luhn and the issuer's lengths, mod 97 and the country's length, areas
that were ever given out. What stands for nobody is not found: private and documentation addresses, `user@example.com`,
`YOUR_API_KEY`. Time is linear in the text: the length of every match is bounded.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from workbench.text.phone_numbers import phone_spans
from workbench.text.secret_keys import secret_spans

KINDS = ("secret", "email", "iban", "card", "ssn", "ip", "phone")
"""In the order in which they claim their place: a password in an address is no email."""
_LONG_NUMBERS = ("iban", "card", "ssn", "phone")


@dataclass(frozen=True, slots=True)
class Found:
    """One piece of personal data."""

    kind: str
    start: int
    end: int
    """Its characters in the text."""
    hint: str
    """Enough of it to recognise it, not to use it."""


def find(text: str, kinds: Sequence[str] = KINDS) -> list[Found]:
    """All personal data of the given kinds, in the order of the text; pieces do not overlap."""
    found: list[Found] = []
    taken = bytearray()
    without = () if _has_long_number(text) else _LONG_NUMBERS
    for kind in KINDS:
        if kind not in kinds or kind in without:
            continue
        for start, end in _SPANS[kind](text):
            taken = taken or bytearray(len(text))
            if taken.find(1, start, end) < 0:
                taken[start:end] = b"\1" * (end - start)
                found.append(Found(kind, start, end, _hint(kind, text[start:end])))
    return sorted(found, key=lambda one: one.start)


def masked(text: str, kinds: Sequence[str] = KINDS) -> str:
    """`text` with the name of its kind, such as `<EMAIL>`, in the place of every piece of personal data."""
    pieces, position = [], 0
    for one in find(text, kinds):
        pieces += [text[position : one.start], f"<{one.kind.upper()}>"]
        position = one.end
    return "".join([*pieces, text[position:]])


# Email.

_EMAIL = re.compile(
    r"(?<![a-z0-9À-ɏ_%+-])[a-z0-9À-ɏ_][a-z0-9À-ɏ_.%+'-]{0,63}@((?:[a-z0-9À-ɏ](?:[a-z0-9À-ɏ-]{0,61}[a-z0-9À-ɏ])?\.){1,8}"
    r"[a-z]{2,24})(?![a-z0-9À-ɏ_@])",
    re.IGNORECASE,
)
_FILE_ENDING = re.compile(r"\.(?:png|jpe?g|gif|svg|webp|bmp|ico|css|js|ts|json|html?|md|txt|whl|gz|zip|xml|ya?ml)\Z")
_IN_ADDRESS = re.compile(r"://[^\s/@]{0,80}\Z")
_NOBODYS_DOMAIN = re.compile(
    r"(?:.*\.)?(?:example|test|invalid|localhost)\Z|(?:.*\.)?example\.[a-z]{2,3}\Z"
    r"|(?:your|my|some|the)?-?(?:domain|company|email|website)\.(?:com|org|net)\Z"
)
"""Reserved domains (RFC 2606), and others that examples are made with."""
_NOBODY = re.compile(
    r"(?:user(?:name)?|you|your[._-]?(?:name|email|address)?|name|e?mail|me|test|foo|bar|someone|somebody|admin|info|contact"
    r"|hello|support|example|sample|recipient|sender|from|to|abc|xyz|x{2,}|[a-z])\d{0,3}\Z"
)
"""Names that are nobody's at such a domain."""


def _emails(text: str) -> Iterator[tuple[int, int]]:
    if "@" not in text:
        return
    for email in _EMAIL.finditer(text):
        domain, name = email.group(1).lower(), email.group().partition("@")[0].lower()
        if _FILE_ENDING.search(domain) or set(name) == {"x"}:
            continue
        if _IN_ADDRESS.search(text[max(0, email.start() - 84) : email.start()]):
            continue
        if name == "git" or (_NOBODYS_DOMAIN.match(domain) and _NOBODY.match(name)):
            continue
        escaped = text[email.start() - 1 : email.start() + 1] in ("\\n", "\\r", "\\t")  # a line break, in JSON
        yield email.start() + escaped, email.end()


# Payment cards: ISO/IEC 7812 issuer ranges and lengths, Luhn's checksum.

_CARD = re.compile(
    r"(?<![\w.,+/-])(?:\d{4}([ -])\d{4}\1\d{4}\1\d{4}|\d{4}([ -])\d{6}\2\d{4,5}|\d{14,19})(?![\w/]|[.,-]\d)",
    re.ASCII,
)


def _cards(text: str) -> Iterator[tuple[int, int]]:
    for card in _CARD.finditer(text):
        digits = [int(character) for character in card.group() if character.isdigit()]
        if _issued(digits) and _luhn(digits):
            yield card.span()


def _issued(digits: Sequence[int]) -> bool:
    """Whether a card network has numbers that begin like this, of this length."""
    first = int("".join(map(str, digits[:6])))
    two, three, four, length = first // 10_000, first // 1_000, first // 100, len(digits)
    if length == 15:
        return two in (34, 37)
    if length == 14:
        return 300 <= three <= 305 or two in (36, 38, 39)
    return (
        (first // 100_000 == 4 and length in (16, 19))
        or ((51 <= two <= 55 or 2221 <= four <= 2720) and length == 16)
        or ((four == 6011 or 644 <= three <= 649 or two == 65 or 3528 <= four <= 3589 or two == 62) and length >= 16)
        or ((two in (50, 56, 57, 58) or four in (6304, 6759, 6761, 6762, 6763)) and length >= 16)
    )


def _luhn(digits: Sequence[int]) -> bool:
    doubled = (digit * 2 - 9 * (digit > 4) for digit in digits[-2::-2])
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


# Bank accounts: ISO 13616 lengths, mod 97 checksum (ISO 7064).

_IBAN_START = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}\d\d(?= ?[A-Z0-9]{4})")
_IBAN_LENGTHS = {
    country: int(length)
    for length, countries in (
        entry.split(":")
        for entry in (
            "15:NO", "16:BE", "18:DK FI FK FO GL NL SD", "19:MK SI", "20:AT BA EE KZ LT LU MN XK", "21:CH CR HR LI LV",
            "22:BG BH DE GB GE IE ME RS VA", "23:AE GI IL IQ OM SO TL", "24:AD CZ ES MD PK RO SA SE SK TN VG",
            "25:LY PT ST", "26:IS TR", "27:BI DJ FR GR IT MC MR SM", "28:AL AZ BY CY DO GT HU LB NI PL SV",
            "29:BR EG PS QA UA", "30:JO KW MU YE", "31:MT SC", "32:LC", "33:RU",
        )
    )
    for country in countries.split()
}  # fmt: skip


def _ibans(text: str) -> Iterator[tuple[int, int]]:
    for start in _IBAN_START.finditer(text):
        length = _IBAN_LENGTHS.get(start.group()[:2])
        if length and (whole := re.compile(rf"(?: ?[A-Z0-9]){{{length}}}(?![A-Za-z0-9])").match(text, start.start())):
            account = whole.group().replace(" ", "")
            if int("".join(str(int(character, 36)) for character in account[4:] + account[:4])) % 97 == 1:
                yield whole.span()


# US social security numbers: areas 000, 666 and 9xx, groups 00 and serials 0000 were never given out, and two stood in
# advertisements (Social Security Administration, "Social Security Number Randomization").

_SSN = re.compile(r"(?<![\w.,+/-])(?!000|666|9)\d{3}-(?!00)\d\d-(?!0000)\d{4}(?![\w/]|[.,-]\d)", re.ASCII)
_SSN_NAMED = re.compile(
    r"(?:\bssn\b|social security(?: (?:number|no\.?|#))?)[\s:=#\"'()a-z]{0,12}?"
    r"((?!000|666|9)\d{3}[ -]?(?!00)\d\d[ -]?(?!0000)\d{4})(?![\w-])",
    re.ASCII | re.IGNORECASE,
)
_PRINTED = frozenset({"078051120", "219099999"})


def _ssns(text: str) -> Iterator[tuple[int, int]]:
    for pattern, group in ((_SSN, 0), (_SSN_NAMED, 1)):
        for number in pattern.finditer(text):
            if re.sub(r"\D", "", number.group(group)) not in _PRINTED:
                yield number.span(group)


# IP addresses.

_IPV4 = re.compile(r"\d{1,3}(?<!\d{4})\.\d{1,3}\.\d{1,3}\.\d{1,3}(?!\w|\.\d|-\w|/\d\d?(?![\w/.]))", re.ASCII)
_IPV6 = re.compile(r"(?<![\w:.])[0-9A-Fa-f]{1,4}(?::[0-9A-Fa-f]{0,4}){2,7}(?![\w:])", re.ASCII)
_VERSION = re.compile(
    r"(?:\bv|version|\bver\.?|\brelease|\bbuild|firmware|driver|section|chapter|[A-Za-z]/|§)[\s:=]{0,3}\Z",
    re.IGNORECASE,
)
_RESOLVERS = frozenset({"8.8.8.8", "8.8.4.4", "1.1.1.1", "1.0.0.1", "9.9.9.9", "208.67.222.222", "208.67.220.220"})
"""Public name servers: addresses that stand in every manual."""


def _ips(text: str) -> Iterator[tuple[int, int]]:
    if _INNER_OCTET.search(text):
        for found in _IPV4.finditer(text):
            start = found.start()
            before = text[max(0, start - 12) : start]
            if before[-1:].isalnum() or before[-1:] in (".", "_", "-") or _VERSION.search(before):
                continue
            if _is_somebodys(found.group()):
                yield found.span()
    if "::" in text or text.count(":") >= 7:
        for found in _IPV6.finditer(text):
            if _is_somebodys(found.group()):
                yield found.span()


def _is_somebodys(address: str) -> bool:
    """Whether an address is on the public Internet: private, local, documentation and reserved ones are nobody's."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    if parsed.version == 4 and (address in _RESOLVERS or max(map(int, address.split("."))) < 10):
        return False  # 1.2.3.4 numbers a section
    # Of the sixth version, 2000::/3 is given out (RFC 4291); `a::b` is an address, too, and more often code.
    return parsed.is_global and not parsed.is_multicast and (parsed.version == 4 or int(parsed) >> 125 == 1)


_LONG_NUMBER = re.compile(r"[0-9](?:[ ().\-/\u00a0\u2010-\u2013]{0,3}[0-9]){6}")
_FEWEST_DIGITS = 7
_DIGITS = b"0123456789"
_INNER_OCTET = re.compile(r"\.[0-9]{1,3}\.[0-9]")


def _has_long_number(text: str) -> bool:
    """Whether seven digits stand close together, as in every number that is looked for."""
    data = text.encode("utf-8", "surrogatepass")
    digits = len(data) - len(data.translate(None, _DIGITS))
    return digits >= _FEWEST_DIGITS and _LONG_NUMBER.search(text) is not None


_SPANS: dict[str, Callable[[str], Iterator[tuple[int, int]]]] = {
    "secret": secret_spans,
    "email": _emails,
    "iban": _ibans,
    "card": _cards,
    "ssn": _ssns,
    "ip": _ips,
    "phone": phone_spans,
}


def _hint(kind: str, value: str) -> str:
    """At most the beginning or the end of a value: details go into reports."""
    if kind == "email":
        name, _, domain = value.partition("@")
        return f"{name[0]}***@{domain[0]}***.{domain.rpartition('.')[2]}"
    if kind == "secret":
        return f"{value[:4] if len(value) >= 16 else value[0]}***"
    if kind == "ip":
        separator = "." if "." in value else ":"
        return f"{value.partition(separator)[0]}{separator}***"
    hidden = sum(sign.isalnum() for sign in value) - (4 if kind in ("card", "iban") else 2)
    shown = []
    for sign in value:
        hidden -= sign.isalnum()
        shown.append("*" if sign.isalnum() and hidden >= 0 else sign)
    return "".join(shown)
