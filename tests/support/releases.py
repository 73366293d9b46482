"""A tiny grouper release in the layout of CMS, written by hand in Protocol Buffers wire format."""

from __future__ import annotations

VERSIONS = (430, 431)


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def record(field: int, value: bytes | str) -> bytes:
    content = value.encode() if isinstance(value, str) else value
    return varint(field << 3 | 2) + varint(len(content)) + content


def packed(field: int, values: tuple[int, ...]) -> bytes:
    return record(field, b"".join(map(varint, values)))


def entry(key: int | str, value: bytes) -> bytes:
    """Return one entry of a map, as field 1."""
    return record(1, (record(1, key) if isinstance(key, str) else number(1, key)) + record(2, value))


def titled(titles: dict[int, str], versions: tuple[int, ...]) -> bytes:
    return b"".join(entry(key, record(1, record(1, text) + packed(7, versions))) for key, text in titles.items())


def formula(mdc: int, drg: int, kind: str, text: str, rank: int, versions: tuple[int, ...]) -> bytes:
    facts = number(1, drg) + number(2, mdc) + number(6, drg) + record(7, kind) + record(9, text)
    ranks = b"".join(record(13, number(1, rank) + number(2, version)) for version in versions)
    return record(1, facts + record(10, "") + ranks)


def release(versions: tuple[int, ...] = VERSIONS, *, severity: int = 1, pattern: int = 1, extra: bytes = b"") -> bytes:
    """Return two diagnoses of MDC 6, one procedure, and DRGs 341 (operated) and 343.

    K358 is the principal diagnosis; R65 counts as a CC with it in every version but the last, which excludes it.
    """

    def dated(content: bytes, field: int, only: tuple[int, ...] = versions) -> bytes:
        return record(1, content + packed(field, only))

    def diagnosis(level: int, names: int) -> bytes:
        return dated(number(1, 6) + number(2, level) + number(3, names) + number(4, 3), 6)

    last = versions[-1:]
    parts = {
        1: entry("K358", diagnosis(2, pattern)) + entry("R65", diagnosis(severity, 0)),
        2: entry("0DTJ0ZZ", dated(number(1, 1), 2)) + entry("Z@0001", dated(number(1, 1), 2)),
        3: entry("0DTJ0ZZ", dated(record(1, "Z@0001"), 2)),
        4: entry(7, record(1, "R65")),
        5: entry("K358", dated(number(1, 7), 2, last)),
        6: entry(
            "Z@0001",
            dated(packed(1, (6,)) + 2 * record(3, number(1, 1) + record(2, "0DTJ0ZZ") + record(2, "0DTJ4ZZ")), 4),
        ),
        7: entry("R65", dated(record(1, number(1, 1) + number(2, 12)) + record(1, number(1, 2) + number(2, 13)), 2)),
        8: entry(0, formula(0, 0, "NA", "INVALID_PDX", 1, versions))
        + entry(
            6,
            formula(6, 343, "MEDICAL", "PDX:append", 9, versions)
            + formula(6, 341, "SURGICAL", "CC & append_or", 1, versions),
        ),
        9: entry(1, dated(number(1, 1) + record(3, "SDX:HAC01"), 4)),
        10: entry("R65", dated(record(1, "HAC01") + packed(2, (1,)), 3)),
        11: entry(1, record(1, "append")) + entry(3, record(1, "HAC01")),
        12: entry(1, record(2, "append_or")),
        13: titled({341: "Operated", 343: "Not operated", 999: "Ungroupable"}, versions),
        14: titled({0: "Pre-MDC", 6: "Digestive"}, versions),
        15: titled({341: "Operated", 343: "Not operated"}, versions),
        16: titled({1: "Foreign object"}, versions),
    }
    return b"".join(record(field, content) for field, content in parts.items()) + extra
