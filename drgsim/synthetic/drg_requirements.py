"""What each alternative of a DRG formula requires of an admission.

A requirement names operands: of the principal diagnosis, of secondary diagnoses and of procedures.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, combinations_with_replacement, product

from drgsim.tables.formula import expand_alternatives, parse_formula

ANY_STATUS, ALIVE, DIED, AGAINST_ADVICE, TRANSFERRED = range(5)
_STATUS = {"ALIVE": ALIVE, "DIED": DIED, "AMA": AGAINST_ADVICE, "XFRNBA": TRANSFERRED}
_IGNORED = frozenset({"MCC", "CC", "ANYDX", "MDC_20_FALL_THRU"})
"""Words that the comorbidity satisfies, or any PDX of the row's MDC."""
_REGIONS = ["sthead", "stchest", "stabdom", "stkidney", "sturin", "stpel", "stuplimb", "stlolimb"]
_JOINTS = ["righthip", "lefthip", "rightknee", "leftknee", "rightankle", "leftankle"]

ProcedureOperands = tuple[str, ...]
"""The operands that one procedure must carry."""


def _list_sums_to_four(name: str, also: str = "") -> list[tuple[ProcedureOperands, ...]]:
    """Return the ways in which operands such as stent1 to stent4 add up to four or just above."""
    ways: list[tuple[ProcedureOperands, ...]] = []
    for count in range(1, 5):
        sums = (parts for parts in combinations_with_replacement((4, 3, 2, 1), count) if sum(parts) >= 4)
        exact = (parts for parts in sums if sum(parts) - parts[-1] < 4)
        ways.extend(tuple((f"{name}{part}", also) if also else (f"{name}{part}",) for part in parts) for parts in exact)
    return ways


def _repeat_operands(**counts: int) -> tuple[ProcedureOperands, ...]:
    return tuple((name,) for name, count in counts.items() for _ in range(count))


WORDS: Mapping[str, Sequence[tuple[ProcedureOperands, ...]]] = {
    # A counted word is true when the claim has every procedure of one of these combinations.
    "BILATERAL": [((a,), (b,)) for a, b in combinations(_JOINTS, 2)],
    "FOUR_VESSELS": _list_sums_to_four("vessel"),
    "FOUR_STENTS": _list_sums_to_four("stent"),
    "FOUR_DRUG_ELUTING_STENTS": _list_sums_to_four("stent", "NORdrugstent"),
    "FOUR_NON_DRUG_ELUTING_STENTS": _list_sums_to_four("stent", "NORstent"),
    "SINGLEFUSIONCTR": [
        _repeat_operands(sglantfuse=1, sglpostfuse=2),
        _repeat_operands(sglantfuse=2, sglpostfuse=1),
    ],
    "SGLANTSECTXCTR": [_repeat_operands(sglantsectXfuse=2)],
    "SGLPOSTFUSECTR": [_repeat_operands(sglpostfuse=2)],
    "SGLANTCTR": [_repeat_operands(sglantfuse=2)],
    "SGLPOST1CTR": [_repeat_operands(sglpostfuse1=2)],
    "MULTFUSE": [
        _repeat_operands(sglantfuse=2),
        _repeat_operands(sglpostfuse1=2),
        _repeat_operands(sglantfuse=1, sglpostfuse1=1),
    ],
    "ORPROC": [(("d468",),), (("d477",),)],
}


@dataclass(frozen=True)
class Requirement:
    """What one alternative of a formula requires of an admission.

    Attributes:
        pdx: operands that the principal diagnosis must carry.
        not_pdx: operands that it must not carry.
        sdx: operands, each carried by some secondary diagnosis.
        procedures: for each procedure required, the operands it must carry.
        not_procedure: operands that no procedure may carry.
        status: how the stay must end.
    """

    pdx: frozenset[str] = frozenset()
    not_pdx: frozenset[str] = frozenset()
    sdx: tuple[str, ...] = ()
    procedures: tuple[ProcedureOperands, ...] = ()
    not_procedure: frozenset[str] = frozenset()
    status: int = ANY_STATUS


def list_requirements(formula: str) -> Iterator[Requirement]:
    """Yield what each alternative of a formula requires.

    A counted word, or an operand that any diagnosis may carry, gives one requirement for each way to satisfy it.
    """
    for alternative in expand_alternatives(parse_formula(formula)):
        pdx, not_pdx, sdx, not_procedure = set[str](), set[str](), list[str](), set[str]()
        procedures: list[ProcedureOperands] = []
        status, choices = ANY_STATUS, list[list[tuple[str, object]]]()
        for operand, wanted in sorted(alternative):
            prefix, _, name = operand.rpartition(":")
            if operand in _IGNORED:
                continue
            if operand in _STATUS:
                status = _STATUS[operand] if wanted else status
            elif operand == "MULTST":
                choices.append([("sdx", region) for region in _REGIONS] if wanted else [("", "")])
            elif operand in WORDS:
                choices.append([("procedures", way) for way in WORDS[operand]] if wanted else [("", "")])
            elif prefix in ("PDX", "ONLY"):
                (pdx if wanted else not_pdx).add(name)
            elif prefix == "ANY" and wanted:
                choices.append([("pdx", name), ("sdx", name)])
            elif prefix == "ANY":
                not_pdx.add(name)
            elif prefix == "SDX":
                sdx += [name] if wanted else []
            elif wanted:
                procedures.append((name,))
            else:
                not_procedure.add(name)
        base = Requirement(
            frozenset(pdx), frozenset(not_pdx), tuple(sdx), tuple(procedures), frozenset(not_procedure), status
        )
        for choice in product(*choices):
            yield _add_choice(base, choice)


def _add_choice(base: Requirement, choice: Sequence[tuple[str, object]]) -> Requirement:
    """Return a requirement with one way to satisfy each of its counted words."""
    requirement = base
    for field, what in choice:
        if field == "pdx":
            requirement = replace(requirement, pdx=requirement.pdx | {str(what)})
        elif field == "sdx":
            requirement = replace(requirement, sdx=(*requirement.sdx, str(what)))
        elif field == "procedures" and isinstance(what, tuple):
            requirement = replace(requirement, procedures=(*requirement.procedures, *what))
    return requirement


def combine_requirements(one: Requirement, other: Requirement) -> Requirement:
    """Return what two rows on the same route to a DRG require together."""
    return Requirement(
        one.pdx | other.pdx,
        one.not_pdx | other.not_pdx,
        tuple(dict.fromkeys((*one.sdx, *other.sdx))),
        tuple(dict.fromkeys((*one.procedures, *other.procedures))),
        one.not_procedure | other.not_procedure,
        one.status or other.status,
    )
