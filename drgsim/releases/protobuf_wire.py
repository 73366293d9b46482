"""The wire format of Protocol Buffers, read strictly: `decode_message(data, message)`.

The module reads what a published data file needs: variable-length integers, texts, nested messages and repeated
fields, packed or not. A mapping from field number to `Field` describes a message; nesting follows this description
alone, so that no file can nest more deeply. Bytes that do not match the description raise an error with their offset;
unknown fields are counted and left out.

Source: Protocol Buffers encoding guide (varint, tag, LEN records).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from drgsim.exceptions import TableError

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_FIXED_BYTES = {_FIXED64: 8, _FIXED32: 4}
_LONGEST_VARINT = 10
INT, TEXT = "int", "text"
MOST_RECORDS = 10_000_000
"""Most fields that are read, so that a small file cannot fill the memory; release 43.1 has 3.1 million."""


@dataclass(frozen=True)
class Field:
    """One field of a message.

    Attributes:
        name: of the field.
        kind: `INT`, `TEXT` or a nested message.
        many: whether the field repeats.
    """

    name: str
    kind: str | Mapping[int, Field]
    many: bool = False


Message = Mapping[int, Field]


def decode_message(data: bytes, message: Message, unknown: Counter[str] | None = None) -> dict[str, Any]:
    r"""Return the fields of a message by name.

    A value is an int, str or dict or, where a field repeats, a list of them. An absent number is 0, an absent text
    "", an absent message None, as in Protocol Buffers.

    Args:
        data: the bytes of the message.
        message: its fields by number.
        unknown: receives the number of fields that `message` does not have, by `name.number`.

    Raises:
        TableError: the bytes are cut off, are not such a message, or have more than `MOST_RECORDS` fields; gives
            the offset.

    >>> point = {1: Field("x", INT), 2: Field("names", TEXT, many=True)}
    >>> decode_message(b"\x08\x96\x01\x12\x01a\x12\x01b", point)
    {'x': 150, 'names': ['a', 'b']}
    """
    return _Reader(data, Counter() if unknown is None else unknown).read_message(0, len(data), message, "message")


# ---------------------------------------------------------------------------------------------- wire


_ABSENT = {INT: 0, TEXT: ""}


@dataclass
class _Reader:
    """The bytes of a message, and what is counted while they are read."""

    data: bytes
    unknown: Counter[str]
    records: int = 0

    def read_message(self, at: int, end: int, message: Message, where: str) -> dict[str, Any]:
        """Read the fields between two offsets; the last of a field that does not repeat counts."""
        found: dict[str, Any] = {f.name: [] if f.many else _ABSENT.get(str(f.kind)) for f in message.values()}
        for number, wire, start, stop, value in self.iterate_fields(at, end):
            field = message.get(number)
            if field is None:
                self.unknown[f"{where}.{number}"] += 1
            elif field.kind == INT and field.many and wire == _LENGTH:
                found[field.name] += self.read_packed(start, stop)
            else:
                read = self.read_value(field, wire, start, stop, value)
                if field.many:
                    found[field.name].append(read)
                else:
                    found[field.name] = read
        return found

    def read_value(self, field: Field, wire: int, start: int, stop: int, value: int) -> int | str | dict[str, Any]:
        """Return one value of the field's kind."""
        wanted = _VARINT if field.kind == INT else _LENGTH
        if wire != wanted:
            raise TableError(f"offset {start}: {field.name} has wire type {wire}, expected {wanted}.")
        if field.kind == INT:
            return value
        if isinstance(field.kind, str):
            try:
                return self.data[start:stop].decode("utf-8")
            except UnicodeDecodeError as error:
                raise TableError(f"offset {start}: {field.name} is not UTF-8 text.") from error
        return self.read_message(start, stop, field.kind, field.name)

    def iterate_fields(self, at: int, end: int) -> Iterator[tuple[int, int, int, int, int]]:
        """Yield (number, wire type, start, stop, integer) of each record between two offsets."""
        while at < end:
            self.count_record(at)
            tag, at = _read_varint(self.data, at, end)
            number, wire = tag >> 3, tag & 7
            if not number:
                raise TableError(f"offset {at}: a field has number 0, which is not allowed.")
            start, value = at, 0
            if wire == _VARINT:
                value, at = _read_varint(self.data, at, end)
            elif wire == _LENGTH:
                length, start = _read_varint(self.data, at, end)
                at = start + length
            elif wire in _FIXED_BYTES:
                at += _FIXED_BYTES[wire]
            else:
                raise TableError(f"offset {at}: wire type {wire} of field {number} is not in use.")
            if not start <= at <= end:  # a negative length would lead back, and never end
                raise TableError(f"offset {start}: field {number} runs to {at}, past the end of its message at {end}.")
            yield number, wire, start, at, value

    def read_packed(self, at: int, end: int) -> list[int]:
        """Return the packed integers between two offsets."""
        values = []
        while at < end:
            self.count_record(at)
            value, at = _read_varint(self.data, at, end)
            values.append(value)
        return values

    def count_record(self, at: int) -> None:
        """Count a field, or a number of a packed field."""
        self.records += 1
        if self.records > MOST_RECORDS:
            raise TableError(f"offset {at}: more than {MOST_RECORDS} fields, which no grouper release has.")


def _read_varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    """Return the signed 64-bit integer at an offset, and the offset after it."""
    if at < end and data[at] < 0x80:  # three in four have one byte
        return data[at], at + 1
    value = 0
    for place in range(_LONGEST_VARINT):
        if at + place >= end:
            raise TableError(f"offset {at}: the data end within a number; the file is cut off.")
        byte = data[at + place]
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            if value >= 1 << 64:
                break
            return value - ((value >> 63) << 64), at + place + 1
    raise TableError(f"offset {at}: a number of more than 64 bits.")
