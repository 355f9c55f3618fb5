from __future__ import annotations

import base64
import json
import random
import string
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.text.personal_data import KINDS, find, masked


def spotted(text: str, *kinds: str) -> list[tuple[str, str]]:
    """Kind and text of everything found."""
    return [(one.kind, text[one.start : one.end]) for one in find(text, kinds or KINDS)]


def with_luhn(front: str) -> str:
    """`front` with its check digit, found by trial against the plain definition of Luhn's formula."""
    for last in string.digits:
        digits = [int(sign) for sign in reversed(front + last)]
        if sum(digit if place % 2 == 0 else sum(divmod(2 * digit, 10)) for place, digit in enumerate(digits)) % 10 == 0:
            return front + last
    raise AssertionError


def iban(country: str, rest: str) -> str:
    """An account with the right check digits (ISO 7064): 98 minus the remainder for 00."""
    as_number = "".join(str(int(sign, 36)) for sign in f"{rest}{country}00")
    return f"{country}{98 - int(as_number) % 97:02d}{rest}"


@pytest.mark.parametrize(
    "text, address",
    [
        ("Write to ann.lee@acme.io.", "ann.lee@acme.io"),
        ("<Ann+news@Mail.Acme.co.uk>", "Ann+news@Mail.Acme.co.uk"),
        ("联系人为lee@acme.com和别人", "lee@acme.com"),
        ("...ann@acme.io,bob", "ann@acme.io"),
        ('{"to": "jose.núñez@correo.es"}', "jose.núñez@correo.es"),
        ("maria.ruiz@example.com is a name at a domain kept for examples", "maria.ruiz@example.com"),
    ],
)
def test_emails_are_found(text: str, address: str) -> None:
    assert spotted(text) == [("email", address)]


@pytest.mark.parametrize(
    "text",
    [
        "user@example.com or you@your-domain.com",
        "git clone git@github.com:acme/tool.git",
        "logo@2x.png",
        "npm install react@18.2.0",
        "@app.route('/')",
        "me @ home . com",
        "a@b",
        "ftp://anonymous:guest@ftp.acme.org/pub",
    ],
)
def test_what_only_looks_like_an_email_is_not_one(text: str) -> None:
    assert spotted(text, "email") == []


@pytest.mark.parametrize(
    "text, number",
    [
        ("Ring +44 20 7946 0018 today", "+44 20 7946 0018"),
        ("+14155550132", "+14155550132"),
        ("+1 (415) 555-0132", "+1 (415) 555-0132"),
        ("+33 6 12 34 56 78 5 times", "+33 6 12 34 56 78"),
        ("0049 30 1234567", "0049 30 1234567"),
        ("(415) 555-0132", "(415) 555-0132"),
        ("415-555-0132", "415-555-0132"),
        ("415.555.0132", "415.555.0132"),
        ("In 2024 555-123-4567", "555-123-4567"),
        ("020 7946 0018", "020 7946 0018"),
        ("07700 900123", "07700 900123"),
        ("06 12 34 56 78", "06 12 34 56 78"),
        ("0171/1234567", "0171/1234567"),
        ("03-1234-5678", "03-1234-5678"),
        ("010-1234-5678", "010-1234-5678"),
        ("(11) 91234-5678", "(11) 91234-5678"),
        ("我的手机是13812345678。", "13812345678"),
        ("Tel.: 7946 0018", "7946 0018"),
        ('{"phone_number": "4155550132"}', "4155550132"),
        ("my phone number is 415 555 0132", "415 555 0132"),
        ("call me at 555-1234", "555-1234"),
    ],
)
def test_phone_numbers_are_found(text: str, number: str) -> None:
    assert spotted(text) == [("phone", number)]


@pytest.mark.parametrize(
    "text",
    [
        "Order 79460018, invoice no. 020 7946 0018",
        "ISBN 978-3-16-148410-0",
        "2024-05-06 12:30:45, 06.05.2024, 05/06/2024",
        "1999-2005 and 1914-1918",
        "release 10.2.3.4, version 1.22.333.4444",
        "3.14159265358979",
        "1,234,567,890 or 1.234.567.890",
        "+10 000 000 people more",
        "821091117+4908374100427 =",
        "472547338\n+960397912423686\n------",
        "01 02 03 04 05 06",
        "call 1-800-555-0199, it is free",
        "123-456-7890",
        "Phone: 1234567890",
        "doi:10.1016/j.cell.2020.01.001",
        "A/C No. 00632000001783",
        "f(2) = 200 300 4000",
        "id=4155550132, #4155550132",
        "08 2004 2002",
        "订单号13812345678",
        "500 200 1000",
    ],
)
def test_other_numbers_are_no_phone_numbers(text: str) -> None:
    assert spotted(text) == []


@pytest.mark.parametrize(
    "front",
    ["411111111111111", "555555555555444", "222100000000000", "37828224631000", "601111111111111", "352800000000000",
     "3056930902590", "620000000000000", "456735110000000002"],
)  # fmt: skip
def test_cards_need_an_issuer_a_length_and_luhns_digit(front: str) -> None:
    number = with_luhn(front)
    assert spotted(f"Pay with {number}, please") == [("card", number)]
    wrong = number[:-1] + str((int(number[-1]) + 1) % 10)
    assert spotted(f"Pay with {wrong}, please", "card") == []


def test_cards_are_found_in_groups_and_not_inside_other_numbers() -> None:
    assert spotted("4111 1111 1111 1111 and 4111-1111-1111-1111") == [
        ("card", "4111 1111 1111 1111"),
        ("card", "4111-1111-1111-1111"),
    ]
    assert spotted("3782 822463 10005") == [("card", "3782 822463 10005")]
    for text in ("0.4111111111111111", "94111111111111111", "4111111111111111-22", "a4111111111111111"):
        assert spotted(text, "card") == []


@pytest.mark.parametrize(
    "country, rest",
    [
        ("DE", "370400440532013000"),
        ("GB", "WEST12345698765432"),
        ("NO", "86011117947"),
        ("MT", "MALT011000012345MTLCAST001S"),
        ("FR", "20041010050500013M02606"),
    ],
)
def test_accounts_need_their_countrys_length_and_check_digits(country: str, rest: str) -> None:
    account = iban(country, rest)
    grouped = " ".join(account[start : start + 4] for start in range(0, len(account), 4))
    assert spotted(f"IBAN {account}.") == [("iban", account)]
    assert spotted(f"to {grouped} BIC COBADEFF") == [("iban", grouped)]
    assert spotted(f"{account}1", "iban") == spotted(account[:-1], "iban") == []
    swapped = account[:4] + account[5] + account[4] + account[6:]
    assert swapped == account or spotted(swapped, "iban") == []


@pytest.mark.parametrize(
    "text, expected",
    [
        ("SSN 536-22-1234", ["536-22-1234"]),
        ("my social security number is 536221234", ["536221234"]),
        ("ssn: 536 22 1234", ["536 22 1234"]),
        ("000-22-1234 666-22-1234 912-22-1234 536-00-1234 536-22-0000", []),
        ("the advertised 078-05-1120 and 219-09-9999", []),
        ("part 536-22-1234-7 or 1536-22-1234", []),
        ("536221234", []),
    ],
)
def test_social_security_numbers_need_an_area_that_was_given_out(text: str, expected: list[str]) -> None:
    assert [number for _, number in spotted(text, "ssn")] == expected


@pytest.mark.parametrize(
    "text, expected",
    [
        ("from 81.2.69.142 to http://81.2.69.143:8080/x", ["81.2.69.142", "81.2.69.143"]),
        ("2a00:1450:4001:81b::200e", ["2a00:1450:4001:81b::200e"]),
        ("10.0.0.1 192.168.1.1 172.16.5.4 127.0.0.1 169.254.1.1 0.0.0.0 255.255.255.255", []),
        ("192.0.2.7 198.51.100.7 203.0.113.7 2001:db8::1 fe80::1 ::1", []),
        ("8.8.8.8 and 1.1.1.1", []),
        ("version 81.2.69.142, v81.2.69.142, Chrome/91.0.4472.124", []),
        ("section 1.2.3.4 and 81.2.69.142.7 and 81.2.69.1422 and 381.2.69.142", []),
        ("157.240.0.0/16 is a network", []),
        ("12:30:45 std::vector aa:bb:cc:dd:ee:ff a::b", []),
    ],
)
def test_addresses_count_if_they_are_on_the_public_internet(text: str, expected: list[str]) -> None:
    assert [address for _, address in spotted(text, "ip")] == expected


def drawn(length: int, alphabet: str = string.ascii_letters + string.digits) -> str:
    """Random signs, the same in every run; put together here so that no scanner takes this file for a leak."""
    return "".join(random.Random(length).choices(alphabet, k=length - 2)) + "7q"


def token() -> str:
    header, body = (base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in
                    ({"alg": "HS256", "typ": "JWT"}, {"sub": "1234567890"}))  # fmt: skip
    return f"{header}.{body}.{drawn(43)}"


KEYS = {
    "aws": "AKIA" + drawn(16, string.ascii_uppercase + "234567").upper(),
    "github": "ghp_" + drawn(36),
    "github fine": "github_pat_" + drawn(22) + "_" + drawn(59),
    "gitlab": "glpat-" + drawn(20),
    "slack": "xoxb-" + "123456789012-" + drawn(24),
    "stripe": "sk_live_" + drawn(24),
    "google": "AIza" + drawn(35),
    "openai": "sk-proj-" + drawn(48),
    "anthropic": "sk-ant-api03-" + drawn(90),
    "hugging face": "hf_" + drawn(34),
    "npm": "npm_" + drawn(36),
    "token": token(),
}


@pytest.mark.parametrize("name", KEYS)
def test_keys_of_services_are_found(name: str) -> None:
    assert spotted(f"Use {KEYS[name]} from now on.") == [("secret", KEYS[name])]
    assert spotted(f"x{KEYS[name]}", "secret") == []


def test_a_private_key_is_found_as_a_whole() -> None:
    key = f"-----BEGIN RSA PRIVATE KEY-----\n{drawn(64)}\n{drawn(60)}\n-----END RSA PRIVATE KEY-----"
    assert spotted(f"Here:\n{key}\nDone.") == [("secret", key)]
    assert spotted("-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----") == []


@pytest.mark.parametrize(
    "text, secret",
    [
        ("password = 'Tr0ub4dor&3'", "Tr0ub4dor&3"),
        ('{"api_key": "9f8e7d6c5b4a"}', "9f8e7d6c5b4a"),
        ("DB_PASSWORD=k9vQ2mzP7w", "k9vQ2mzP7w"),
        ("The password is mQ7vT2xk.", "mQ7vT2xk"),
        ("postgres://bob:s3cr8tPw9@db.acme.io:5432/x", "s3cr8tPw9"),
        ("密码：aB3fG7kL9。", "aB3fG7kL9"),
    ],
)
def test_passwords_are_found_where_they_are_given(text: str, secret: str) -> None:
    assert spotted(text, "secret") == [("secret", secret)]


@pytest.mark.parametrize(
    "text",
    [
        "api_key = YOUR_API_KEY",
        "api_key: <your key here>, token: xxxxxxxxxxxx",
        "password = 'password123'",
        "password=${DB_PASSWORD} password: {{ secret }}",
        "token = tokenizer.decode(ids[0])",
        "api_key=os.environ['KEY1'] secret = config.secret1",
        "AKIAIOSFODNN7EXAMPLE",
        "sk-" + "x" * 40,
        "sk-your-key-goes-here-0123456789",
        "Your password: choose a strong one with 8 letters",
        "postgres://user:password@localhost/db",
        "postgres://user:${PASS}@localhost/db",
        "eyJ" + "a" * 20 + ".eyJ" + "b" * 20 + "." + "c" * 20,
        "设置强密码：为您的所有账户设置长度至少为8位的密码",
    ],
)
def test_placeholders_words_and_code_are_no_secrets(text: str) -> None:
    assert spotted(text, "secret") == []


def test_hints_never_give_a_value_away() -> None:
    text = " ; ".join(
        ["ann.lee@acme.io", "+44 20 7946 0018", "4111 1111 1111 1111", iban("DE", "370400440532013000"), "81.2.69.142",
         "SSN 536-22-1234", *KEYS.values(), "password = 'mQ7vT2'"]
    )  # fmt: skip
    found = find(text)
    assert {one.kind for one in found} == set(KINDS)
    for one in found:
        value = text[one.start : one.end]
        hidden = sum(sign.isalnum() for sign in value) - sum(sign.isalnum() for sign in one.hint)
        assert value not in one.hint and hidden >= 4, one.hint
    assert find("ann.lee@acme.io")[0].hint == "a***@a***.io"
    assert find("4111 1111 1111 1111")[0].hint == "**** **** **** 1111"


def test_only_the_kinds_asked_for_are_looked_for() -> None:
    text = "ann@acme.io, +44 20 7946 0018"
    assert spotted(text, "phone") == [("phone", "+44 20 7946 0018")]
    assert masked(text, ("email",)) == "<EMAIL>, +44 20 7946 0018"


def test_masking_replaces_each_piece_and_nothing_else() -> None:
    assert masked("Write to ann@acme.io or (415) 555-0132.") == "Write to <EMAIL> or <PHONE>."
    assert masked("Nothing here.") == "Nothing here."


_PIECES = st.sampled_from(
    ["ann@acme.io", "4111 1111 1111 1111", "81.2.69.142", "+44 20 7946 0018", " ", ", ", "\n", "see", "7", "@", ".", "://",
     KEYS["github"]]
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(max_size=80), st.lists(_PIECES, max_size=12).map("".join)))
def test_pieces_stand_in_order_apart_and_are_gone_after_masking(text: str) -> None:
    found = find(text)
    assert all(0 <= one.start < one.end <= len(text) for one in found)
    assert all(left.end <= right.start for left, right in pairwise(found))
    rest = text
    for one in reversed(found):
        rest = rest[: one.start] + f"<{one.kind.upper()}>" + rest[one.end :]
    assert masked(text) == rest


@pytest.mark.parametrize(
    "unit",
    ["1", "@", ".", "a@", "1 ", "1-", "1.", "a.", "+1", "(1", "::", "1:", "ab:", "AB12", "sk-", "eyJa.", "eyJ", "://a:",
     "password=", "api key: ", "-----BEGIN PRIVATE KEY-----", "4111 ", "4111111111111111 ", "a@b.io ", "tel 1",
     "081.2.", "06 12 34 56 78 ", "415-555-0132 ", "tel 415 555 0132 ", "+1 ", "\u00e9", "gh", "ghp_a", " "],
)  # fmt: skip
@pytest.mark.timeout(40)
def test_hostile_texts_end(unit: str) -> None:
    """A megabyte each: anything quadratic would take hours."""
    find(unit * (1_000_000 // len(unit)))
