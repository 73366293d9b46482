"""Procedures that count together: clusters, and operands counted over a claim's procedures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl
from numpy.typing import NDArray

from drgsim.numerics.arrays import Int64Array
from drgsim.numerics.segments import expand_rows, find_run_starts, is_among, sort_distinct
from drgsim.tables.codebook import Codebook
from drgsim.tables.table_set import COUNTED_WORDS

_JOINTS = ("righthip", "lefthip", "rightknee", "leftknee", "rightankle", "leftankle")
_STENT_TYPES = ("NORdrugstent", "NORstent")
_FUSIONS = ("sglantfuse", "sglpostfuse", "sglantsectXfuse", "sglpostfuse1")
_VESSELS, _DRUG, _BARE, _STENTS, *_FUSION = range(4 + len(_FUSIONS))


@dataclass(frozen=True, eq=False)
class Clusters:
    """The clusters of one version, and what each operand set adds to the counts of a claim.

    A cluster is present when the claim has a procedure of each of its choices. `member_choice[member_start[p]]`
    to `member_choice[member_start[p + 1]]` are the choices that procedure p satisfies; the choices of a cluster
    have consecutive numbers. `suppressed` are the MDCs (bits) whose search does not see the procedures of a
    cluster that is present. `fewest` is the least number of procedures with which any cluster can be present.
    """

    component: NDArray[np.bool_]
    member_start: Int64Array = field(repr=False)
    member_choice: Int64Array = field(repr=False)
    choice_cluster: Int64Array = field(repr=False)
    choices: Int64Array = field(repr=False)
    operand_set: NDArray[np.uint16] = field(repr=False)
    suppressed: NDArray[np.uint32] = field(repr=False)
    tallies: NDArray[np.int64] = field(repr=False)
    regions: NDArray[np.uint8] = field(repr=False)
    fewest: int

    @classmethod
    def of(
        cls,
        table: pl.DataFrame,
        book: Codebook,
        operand_set: NDArray[np.uint16],
        set_names: Sequence[frozenset[str]],
    ) -> Clusters:
        """Build from a version's cluster table.

        Args:
            table: the clusters.
            book: the codebook of procedures.
            operand_set: (clusters,) the operand set of each.
            set_names: the operands of each set.
        """
        members = (
            table.with_row_index("cluster_number")
            .select("cluster_number", choice=pl.col("choices").str.split(" + "))
            .explode("choice")
            .with_row_index("choice_number")
            .with_columns(code=pl.col("choice").str.split(" "))
        )
        pairs = members.explode("code")
        procedure = book.numbers(pairs["code"])
        order = np.argsort(procedure, kind="stable")
        start = np.searchsorted(procedure[order], np.arange(len(book.codes) + 2))
        mdcs = table["suppressed_mdcs"].fill_null("").to_list()
        return cls(
            component=np.diff(start) > 0,
            member_start=start,
            member_choice=pairs["choice_number"].to_numpy()[order].astype(np.int64),
            choice_cluster=members["cluster_number"].to_numpy().astype(np.int64),
            choices=np.bincount(members["cluster_number"], minlength=len(table)),
            operand_set=operand_set,
            suppressed=np.array([sum(1 << int(m) for m in text.split() if int(m) < 32) for text in mdcs], np.uint32),
            tallies=np.array([_count_names(names) for names in set_names], np.int64),
            regions=np.array([_pack_joints(names) for names in set_names], np.uint8),
            fewest=_find_fewest(members),
        )

    def find_present(
        self, rows: Int64Array, procedures: NDArray[np.int32]
    ) -> tuple[Int64Array, Int64Array, NDArray[np.uint32]]:
        """Return the clusters on claims, and where they hide procedures.

        Args:
            rows: (n,) the admission of each procedure, ascending.
            procedures: (n,) codebook numbers.

        Returns:
            Admission and cluster of every cluster present, and for each procedure the MDCs (bits) that do not see it.
        """
        member, owner = expand_rows(self.member_start, procedures.astype(np.int64))
        choice = self.member_choice[member]
        cluster = self.choice_cluster[choice]
        width = len(self.choices)
        met = sort_distinct(rows[owner] * len(self.choice_cluster) + choice)
        claim, met_choice = np.divmod(met, len(self.choice_cluster))
        keys = claim * width + self.choice_cluster[met_choice]
        begins = find_run_starts(keys)
        keys, found = keys[begins], np.diff(begins, append=len(keys))
        complete = keys[found == self.choices[keys % width]]
        hides = is_among(rows[owner] * width + cluster, complete)
        hidden = np.zeros(len(procedures), np.uint32)
        np.bitwise_or.at(hidden, owner[hides], self.suppressed[cluster[hides]])
        return complete // width, complete % width, hidden

    def list_codes(self, cluster: int) -> set[int]:
        """Return the codebook numbers of every code in any choice of a cluster."""
        choices = np.flatnonzero(self.choice_cluster == cluster)
        memberships = np.flatnonzero(np.isin(self.member_choice, choices))
        return set((np.searchsorted(self.member_start, memberships, "right") - 1).tolist())

    def count_words(
        self, sets: NDArray[np.uint16], start: Int64Array, cluster_sets: NDArray[np.uint16], cluster_claim: Int64Array
    ) -> Int64Array:
        """Return the counted words true of each claim, as bits in the order of COUNTED_WORDS, (n,).

        Args:
            sets: operand sets of the claims' procedures, end to end; repeats count again.
            start: (n,) where those of each claim begin; every claim has a procedure.
            cluster_sets, cluster_claim: operand set of each cluster present and the claim it is on.
        """
        total = np.add.reduceat(self.tallies[sets], start, axis=0)
        joints = np.bitwise_or.reduceat(self.regions[sets], start)
        np.bitwise_or.at(joints, cluster_claim, self.regions[cluster_sets])
        anterior, posterior, section, posterior1 = (total[:, column] for column in _FUSION)
        truth = {
            "BILATERAL": np.bitwise_count(joints) >= 2,
            "FOUR_VESSELS": total[:, _VESSELS] >= 4,
            "FOUR_STENTS": total[:, _STENTS] >= 4,
            "FOUR_DRUG_ELUTING_STENTS": total[:, _DRUG] >= 4,
            "FOUR_NON_DRUG_ELUTING_STENTS": total[:, _BARE] >= 4,
            "SINGLEFUSIONCTR": (anterior >= 1) & (posterior >= 1) & (anterior + posterior >= 3),
            "SGLANTSECTXCTR": section >= 2,
            "SGLPOSTFUSECTR": posterior >= 2,
            "SGLANTCTR": anterior >= 2,
            "SGLPOST1CTR": posterior1 >= 2,
            "MULTFUSE": anterior + posterior1 >= 2,
        }
        return sum(
            (truth[word].astype(np.int64) << bit for bit, word in enumerate(COUNTED_WORDS)),
            np.zeros(len(start), np.int64),
        )


def _find_fewest(members: pl.DataFrame) -> int:
    """Return the least number of procedures with which any cluster can be present."""
    shared = members.explode("code").select(pl.struct("cluster_number", "code").is_duplicated().any()).item()
    return 1 if shared else min(members.group_by("cluster_number").len()["len"].to_list(), default=1)


def sum_numbered_names(names: Iterable[str], stem: str) -> int:
    """Return the sum of n over names made of `stem` and a number n.

    >>> sum_numbered_names({"vessel3", "vascular"}, "vessel")
    3
    """
    return sum(int(name[len(stem) :]) for name in names if name.startswith(stem) and name[len(stem) :].isdigit())


def _count_names(names: frozenset[str]) -> list[int]:
    """Return what a procedure adds to each count: vessels, stents by type, stents, fusions."""
    vessels, stents = sum_numbered_names(names, "vessel"), sum_numbered_names(names, "stent")
    by_type = [stents if kind in names else 0 for kind in _STENT_TYPES]
    return [vessels, *by_type, stents if any(by_type) else 0, *(int(name in names) for name in _FUSIONS)]


def _pack_joints(names: frozenset[str]) -> int:
    return sum(1 << bit for bit, joint in enumerate(_JOINTS) if joint in names)
