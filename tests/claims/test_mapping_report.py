"""An admission_id depends on its identifier alone."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drgsim.claim_fields.mapping_report import hash_admission_ids


@pytest.mark.parametrize(
    ("text", "value"),
    [
        # Test vectors of the FNV reference code.
        ("", 0xCBF29CE484222325),
        ("a", 0xAF63DC4C8601EC8C),
        ("foobar", 0x85944171F73967E8),
        ("0", 0),
        ("18446744073709551615", 2**64 - 1),
    ],
)
def test_identifiers_known(text: str, value: int) -> None:
    assert hash_admission_ids(pl.Series([text])).to_list() == [value]


@settings(deadline=None)
@given(st.lists(st.text(max_size=12) | st.sampled_from(["7", "007", "+7", "-7", "7.0", " 7", "7" * 30])))
def test_identifiers_depend_on_themselves_alone(texts: list[str]) -> None:
    expected = []
    for text in texts:
        value = 0xCBF29CE484222325
        for byte in text.encode():
            value = (value ^ byte) * 0x100000001B3 % 2**64
        number = text.isascii() and text.isdigit() and str(int(text)) == text and int(text) < 2**64
        expected.append(int(text) if number else value)
    assert hash_admission_ids(pl.Series(texts, dtype=pl.String)).to_list() == expected
