from __future__ import annotations

from email.utils import formatdate

import pytest

from workbench.endpoints.retry import retry_after_s

NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "2"}, 2.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after": formatdate(NOW + 90, usegmt=True)}, 90.0),
        ({"retry-after": formatdate(NOW - 90, usegmt=True)}, 0.0),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "soon"}, None),
    ],
)
def test_the_wait_a_server_asks_for_is_read_as_number_or_date(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_s(headers, lambda: NOW) == (None if seconds is None else pytest.approx(seconds))
