"""What each step of the grouper decided, and what took the severity of secondary codes away."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from drgsim.grouping.code_attributes import Attributes
from drgsim.grouping.hac import HacResult
from drgsim.grouping.mdc_search import Decision
from drgsim.grouping.operand_bits import Observed
from drgsim.numerics.arrays import BoolArray, ByteArray
from drgsim.tables.encoding import Encoded

RETURN_CODE_OK = 0
NOT_LOST, BY_DEATH, BY_PDX, BY_LOGIC = 0, 1, 2, 4


@dataclass(frozen=True, eq=False)
class Steps:
    """Grouped admissions: the input, what the formulas see of it, and what each step decided."""

    encoded: Encoded
    observed: Observed
    rules: Attributes
    initial: Decision
    final: Decision
    hac: HacResult

    @cached_property
    def initial_ok(self) -> BoolArray:
        """Whether the initial pass ended in a DRG, (n,)."""
        ok: BoolArray = self.rules.rulebook.return_code[self.initial.row] == RETURN_CODE_OK
        return ok

    @cached_property
    def final_ok(self) -> BoolArray:
        """Whether the final pass ended in a DRG, (n,)."""
        ok: BoolArray = self.initial_ok & (self.hac.return_code == RETURN_CODE_OK)
        return ok

    @cached_property
    def changed(self) -> BoolArray:
        """Whether hospital-acquired conditions changed the DRG, (n,)."""
        drg = self.rules.rulebook.drg
        other: BoolArray = self.final_ok & (drg[self.initial.row] != drg[self.final.row])
        return other


def find_lost_severity(steps: Steps, decision: Decision) -> tuple[ByteArray, ByteArray]:
    """Return the severity of each secondary code as listed, and what takes it away in a pass.

    The latter is NOT_LOST, BY_DEATH, BY_PDX or BY_LOGIC. It does not count hospital-acquired conditions.
    """
    encoded, diagnoses = steps.encoded, steps.rules.diagnoses
    level = diagnoses.scheme_severity[diagnoses.scheme[encoded.sdx]]
    bits = diagnoses.kind_severity_bits[diagnoses.kind[encoded.sdx]]
    row = encoded.sdx_row
    of_suppression = np.bitwise_or.reduce(diagnoses.unsuppressed, axis=1)
    unsuppressed = of_suppression[steps.rules.rulebook.suppression[decision.row]]
    dead = steps.rules.died[encoded.status_place][row] & (bits & diagnoses.death_excluded > 0)
    lost = np.where(bits & unsuppressed[row] == 0, BY_LOGIC, NOT_LOST)
    lost = np.where(dead, BY_DEATH, lost)
    lost = np.where(diagnoses.is_excluded(encoded.pdx, row, encoded.sdx), BY_PDX, lost)
    return level, np.where(level > 0, lost, NOT_LOST).astype(np.uint8)
