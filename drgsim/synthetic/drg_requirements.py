"""What an alternative of a DRG formula asks of an admission: operands of PDX, secondary codes and procedures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, combinations_with_replacement, product

from drgsim.tables.formula import expand_alternatives, parse_formula

ANY_STATUS, ALIVE, DIED, AGAINST_ADVICE, TRANSFERRED = range(5)
_STATUS = {"ALIVE": ALIVE, "DIED": DIED, "AMA": AGAINST_ADVICE, "XFRNBA": TRANSFERRED}
_IGNORED = frozenset({"MCC", "CC", "ANYDX", "MDC_20_FALL_THRU"})
"""Words met by the comorbidity, or by a PDX of the row's MDC as it is."""
_REGIONS = ["sthead", "stchest", "stabdom", "stkidney", "sturin", "stpel", "stuplimb", "stlolimb"]
_JOINTS = ["righthip", "lefthip", "rightknee", "leftknee", "rightankle", "leftankle"]

Need = tuple[str, ...]


def _sums_to_four(name: str, also: str = "") -> list[tuple[Need, ...]]:
    """Return the ways numbered operands such as stent1 to stent4 add up to four or just above."""
    ways: list[tuple[Need, ...]] = []
    for count in range(1, 5):
        sums = (parts for parts in combinations_with_replacement((4, 3, 2, 1), count) if sum(parts) >= 4)
        exact = (parts for parts in sums if sum(parts) - parts[-1] < 4)
        ways.extend(tuple((f"{name}{part}", also) if also else (f"{name}{part}",) for part in parts) for parts in exact)
    return ways


def _fusions(**counts: int) -> tuple[Need, ...]:
    return tuple((name,) for name, count in counts.items() for _ in range(count))


WORDS: Mapping[str, Sequence[tuple[Need, ...]]] = {
    # A counted word is true when the claim has all procedures of one of these; a need is one procedure.
    "BILATERAL": [((a,), (b,)) for a, b in combinations(_JOINTS, 2)],
    "FOUR_VESSELS": _sums_to_four("vessel"),
    "FOUR_STENTS": _sums_to_four("stent"),
    "FOUR_DRUG_ELUTING_STENTS": _sums_to_four("stent", "NORdrugstent"),
    "FOUR_NON_DRUG_ELUTING_STENTS": _sums_to_four("stent", "NORstent"),
    "SINGLEFUSIONCTR": [_fusions(sglantfuse=1, sglpostfuse=2), _fusions(sglantfuse=2, sglpostfuse=1)],
    "SGLANTSECTXCTR": [_fusions(sglantsectXfuse=2)],
    "SGLPOSTFUSECTR": [_fusions(sglpostfuse=2)],
    "SGLANTCTR": [_fusions(sglantfuse=2)],
    "SGLPOST1CTR": [_fusions(sglpostfuse1=2)],
    "MULTFUSE": [_fusions(sglantfuse=2), _fusions(sglpostfuse1=2), _fusions(sglantfuse=1, sglpostfuse1=1)],
    "ORPROC": [(("d468",),), (("d477",),)],
}


@dataclass(frozen=True)
class Requirement:
    """What one alternative asks of an admission."""

    pdx: frozenset[str] = frozenset()
    not_pdx: frozenset[str] = frozenset()
    sdx: tuple[str, ...] = ()
    needs: tuple[Need, ...] = ()
    not_procedure: frozenset[str] = frozenset()
    status: int = ANY_STATUS


def list_requirements(formula: str) -> Iterator[Requirement]:
    """Yield what each alternative of a formula asks; counted words and ANY: become their several ways."""
    for alternative in expand_alternatives(parse_formula(formula)):
        pdx, not_pdx, sdx, refused = set[str](), set[str](), list[str](), set[str]()
        needs: list[Need] = []
        status, ways = ANY_STATUS, list[list[tuple[str, object]]]()
        for operand, wanted in sorted(alternative):
            prefix, _, name = operand.rpartition(":")
            if operand in _IGNORED:
                continue
            if operand in _STATUS:
                status = _STATUS[operand] if wanted else status
            elif operand == "MULTST":
                ways.append([("sdx", region) for region in _REGIONS] if wanted else [("", "")])
            elif operand in WORDS:
                ways.append([("needs", way) for way in WORDS[operand]] if wanted else [("", "")])
            elif prefix in ("PDX", "ONLY"):
                (pdx if wanted else not_pdx).add(name)
            elif prefix == "ANY" and wanted:
                ways.append([("pdx", name), ("sdx", name)])
            elif prefix == "ANY":
                not_pdx.add(name)
            elif prefix == "SDX":
                sdx += [name] if wanted else []
            elif wanted:
                needs.append((name,))
            else:
                refused.add(name)
        base = Requirement(frozenset(pdx), frozenset(not_pdx), tuple(sdx), tuple(needs), frozenset(refused), status)
        for choice in product(*ways):
            demand = base
            for kind, what in choice:
                if kind == "pdx":
                    demand = replace(demand, pdx=demand.pdx | {str(what)})
                elif kind == "sdx":
                    demand = replace(demand, sdx=(*demand.sdx, str(what)))
                elif kind == "needs" and isinstance(what, tuple):
                    demand = replace(demand, needs=(*demand.needs, *what))
            yield demand


def combine_rows(one: Requirement, other: Requirement) -> Requirement:
    """Return what two rows on one way ask together."""
    return Requirement(
        one.pdx | other.pdx,
        one.not_pdx | other.not_pdx,
        tuple(dict.fromkeys((*one.sdx, *other.sdx))),
        tuple(dict.fromkeys((*one.needs, *other.needs))),
        one.not_procedure | other.not_procedure,
        one.status or other.status,
    )
