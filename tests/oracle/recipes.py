"""Fresh random claims for the oracle suite, a known mixture from a known seed.

Every claim comes from one recipe (`SHARES`); afterwards `_spoiled` gives a small share of all claims an
unknown sex, an odd discharge status, strange POA letters, duplicated codes, unknown codes or empty lists.

| recipe     | what it draws |
|------------|---------------|
| uniform    | any codes of the version, uniformly; a few claims with about a hundred |
| directed   | for each alternative of each DRG formula, codes with its operands (and its reroute's) |
| realistic  | skewed popularity, many CC and MCC, procedures that the PDX's MDC knows |
| clusters   | all choices of a procedure cluster, in one of four claims all but one |
| trauma     | injuries of the body regions of MDC 24 |
| hac        | hospital-acquired conditions, directed at `hac_formulas`, with all POA letters |
| birth      | MDC 14 and 15 |
| counted    | stents, vessels, fusions and joints, which formulas count |
| sex        | principal diagnoses whose MDC depends on sex |
| died       | secondary diagnoses that lose their severity at death |

Codes are drawn as integers and become text once, at the end: drawing costs about 10 microseconds a claim.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl
from numpy.typing import NDArray

from drgsim.tables import formula
from drgsim.tables import table_set as tables

Ids = NDArray[np.int64]

SHARES = {
    "uniform": 0.16,
    "directed": 0.26,
    "realistic": 0.24,
    "clusters": 0.06,
    "trauma": 0.06,
    "hac": 0.08,
    "birth": 0.05,
    "counted": 0.05,
    "sex": 0.02,
    "died": 0.02,
}
UNKNOWN_CODES = ("ZZZ9999", "A0", "W", "0000000", "K8", "V999999", "X0000")
STATUSES = (1, 2, 3, 4, 5, 6, 7, 20, 21, 30, 43, 50, 51, 61, 62, 63, 65, 66, 70, 82, 85, 94, 95)
ODD_STATUSES = (0, 8, 9, 40, 42, 60, 67, 71, 80, 96, 99, 100, 999, -1)
POA_LETTERS = ("Y", "N", "U", "W", "1", "E", " ", "", "X", "z", "0")
COUNTED = {
    "BILATERAL": ["righthip", "lefthip", "rightknee", "leftknee", "rightankle", "leftankle"],
    "FOUR_VESSELS": ["vessel1", "vessel2", "vessel3", "vessel4"],
    "FOUR_STENTS": ["stent1", "stent2", "stent3", "stent4"],
    "FOUR_DRUG_ELUTING_STENTS": ["NORdrugstent"],
    "FOUR_NON_DRUG_ELUTING_STENTS": ["NORstent"],
    "SINGLEFUSIONCTR": ["sglantfuse", "sglpostfuse"],
    "SGLANTSECTXCTR": ["sglantsectXfuse"],
    "SGLPOSTFUSECTR": ["sglpostfuse"],
    "SGLANTCTR": ["sglantfuse"],
    "SGLPOST1CTR": ["sglpostfuse1"],
    "MULTFUSE": ["sglantfuse", "sglpostfuse1"],
    "ORPROC": ["d468", "d477"],
}
"""Counted words and names whose carriers can make them true."""
REGIONS = ["sthead", "stchest", "stabdom", "stkidney", "sturin", "stpel", "stuplimb", "stlolimb"]
WORD_STATUS = {"DIED": (20,), "AMA": (7,), "XFRNBA": (2, 5, 66, 82, 85, 94), "INVALID_DSTAT": (0, 8, 99)}


@dataclass
class Pools:
    """Codes of one version as integers, and who carries what."""

    dx: pl.Series
    px: pl.Series
    mdc: Ids
    severity: dict[str, Ids]
    dx_with: dict[str, Ids]
    px_with: dict[str, Ids]
    dx_of_mdc: dict[int, Ids]
    px_of_mdc: dict[int, Ids]
    clusters: list[list[Ids]]
    hiding: Ids
    clusters_with: dict[str, list[list[Ids]]]
    all_dx: Ids
    all_px: Ids
    unknown_dx: Ids
    unknown_px: Ids


def pools(rules: tables.TableSet) -> Pools:
    """Return the pools of a version; unknown codes are codes of other versions and plain nonsense."""
    dx_codes, px_codes = rules.diagnoses["code"], rules.procedures["code"]
    strange = pl.Series("code", UNKNOWN_CODES)
    other_dx = rules.all_diagnoses.filter(~rules.all_diagnoses.is_in(dx_codes.implode())).rename("code")
    other_px = rules.all_procedures.filter(~rules.all_procedures.is_in(px_codes.implode())).rename("code")
    dx, px = pl.concat([dx_codes, other_dx, strange]), pl.concat([px_codes, other_px, strange])
    px_id = dict(zip(px_codes, range(len(px_codes)), strict=True))
    names = pl.concat_str("operands", "hac_operands", "categories", separator=" ", ignore_nulls=True)
    dx_with = _carriers(rules.diagnoses.select(names=names)["names"])
    px_with = _carriers(rules.procedures["operands"])
    mdc = rules.diagnoses["mdc"].to_numpy().astype(np.int64)
    used: dict[int, set[str]] = {}
    for row in rules.formulas.iter_rows(named=True):
        used.setdefault(row["mdc"], set()).update(formula.list_operands(formula.parse_formula(row["formula"])))
    px_of_mdc = {
        number: np.unique(np.concatenate([px_with.get(name, np.empty(0, np.int64)) for name in sorted(wanted)]))
        for number, wanted in used.items()
    }
    clusters = [
        [
            np.array([px_id[code] for code in choice.split() if code in px_id], np.int64)
            for choice in re.split(r"\s\+\s", choices)
        ]
        for choices in rules.clusters["choices"]
    ]
    whole = [all(len(choice) for choice in cluster) for cluster in clusters]
    clusters_with: dict[str, list[list[Ids]]] = {}
    for cluster, fits, carried in zip(clusters, whole, rules.clusters["operands"], strict=True):
        for name in (carried or "").split() if fits else ():
            clusters_with.setdefault(name, []).append(cluster)
    return Pools(
        dx=dx,
        px=px,
        mdc=mdc,
        severity={s: np.flatnonzero((rules.diagnoses["severity"] == s).to_numpy()) for s in ("NONE", "CC", "MCC")},
        dx_with=dx_with,
        px_with=px_with,
        dx_of_mdc={int(number): np.flatnonzero(mdc == number) for number in np.unique(mdc)},
        px_of_mdc=px_of_mdc,
        clusters=[cluster for cluster, fits in zip(clusters, whole, strict=True) if fits],
        hiding=np.flatnonzero((rules.clusters["suppressed_mdcs"] != "99").to_numpy()[np.array(whole)]),
        clusters_with=clusters_with,
        all_dx=np.arange(len(dx_codes)),
        all_px=np.arange(len(px_codes)),
        unknown_dx=np.arange(len(dx_codes), len(dx)),
        unknown_px=np.arange(len(px_codes), len(px)),
    )


def _carriers(names: pl.Series) -> dict[str, Ids]:
    exploded = names.to_frame("name").with_row_index("id").with_columns(pl.col("name").str.split(" "))
    grouped = exploded.explode("name").drop_nulls().group_by("name", maintain_order=True).agg("id")
    return {name: np.array(ids, np.int64) for name, ids in grouped.iter_rows()}


@dataclass
class Draft:
    """Claims being written; secondary diagnoses and procedures are (claim, code) pairs."""

    pdx: Ids
    recipe: NDArray[np.str_]
    sex: NDArray[np.str_]
    status: Ids
    sdx: list[tuple[Ids, Ids]] = field(default_factory=list)
    procedures: list[tuple[Ids, Ids]] = field(default_factory=list)


def _pick(rng: np.random.Generator, pool: Ids, size: int, *, skew: float = 1.0) -> Ids:
    return pool[(len(pool) * rng.random(size) ** skew).astype(np.int64)]


def _some(rng: np.random.Generator, rows: Ids, mean: float, pool: Ids, *, skew: float = 1.0) -> tuple[Ids, Ids]:
    """Give each claim a Poisson number of codes of `pool`; a pool may be empty (MDC 15)."""
    owners = np.repeat(rows, rng.poisson(mean if len(pool) else 0.0, len(rows)))
    return owners, _pick(rng, pool, len(owners), skew=skew)


def _among(rng: np.random.Generator, pool: dict[str, Ids], names: Sequence[str]) -> Ids:
    found = [pool[name] for name in names if name in pool]
    return np.concatenate(found) if found else np.empty(0, np.int64)


def _uniform(draft: Draft, rows: Ids, rng: np.random.Generator, p: Pools, rules: tables.TableSet) -> None:
    draft.pdx[rows] = _pick(rng, p.all_dx, len(rows))
    load = rng.gamma(1.5, 4.0, len(rows))
    load[rng.random(len(rows)) < 0.005] = 90.0
    owners = np.repeat(rows, rng.poisson(load))
    draft.sdx.append((owners, _pick(rng, p.all_dx, len(owners))))
    draft.procedures.append(_some(rng, rows, 2.0, p.all_px))


def _directed(draft: Draft, rows: Ids, rng: np.random.Generator, p: Pools, rules: tables.TableSet) -> None:
    rerouting: dict[int, list[formula.Alternative]] = {}
    for row in rules.formulas.filter(pl.col("reroute_mdc") > 0).iter_rows(named=True):
        rerouting.setdefault(row["reroute_mdc"], []).extend(
            formula.expand_alternatives(formula.parse_formula(row["formula"]))
        )
    targets: list[tuple[int, formula.Alternative]] = []
    for row in rules.formulas.iter_rows(named=True):
        if row["drg"] or row["reroute_mdc"] or row["return_code"]:
            for alternative in formula.expand_alternatives(formula.parse_formula(row["formula"])):
                targets.append((row["mdc"], alternative))
                ways = rerouting.get(row["mdc"], [])
                if ways:
                    way = ways[rng.integers(len(ways))]
                    targets.append((0, alternative | way))
    shares = np.array_split(rng.permutation(rows), len(targets))
    for (mdc, alternative), share in zip(targets, shares, strict=True):
        if len(share):
            _aim(draft, share, rng, p, mdc, sorted(name for name, truth in alternative if truth))
    draft.sdx.append(_some(rng, rows, 1.5, p.all_dx))
    draft.procedures.append(_some(rng, rows[rng.random(len(rows)) < 0.3], 1.5, p.all_px))


def _aim(draft: Draft, rows: Ids, rng: np.random.Generator, p: Pools, mdc: int, names: list[str]) -> None:
    """Give the claims `rows` codes that carry every name of a formula's alternative."""
    n = len(rows)
    principal = p.dx_of_mdc.get(mdc, p.all_dx)
    for name in names:
        prefix, _, bare = name.rpartition(":")
        if prefix in ("PDX", "ONLY") or (prefix == "ANY" and rng.random() < 0.3):
            narrowed = np.intersect1d(principal, p.dx_with.get(bare, principal))
            principal = narrowed if len(narrowed) else principal
        elif prefix in ("SDX", "ANY"):
            if bare in p.dx_with:
                draft.sdx.append((rows, _pick(rng, p.dx_with[bare], n)))
        elif bare in ("MCC", "CC"):
            draft.sdx.append((rows, _pick(rng, p.severity[bare], n)))
        elif bare in WORD_STATUS:
            draft.status[rows] = rng.choice(WORD_STATUS[bare], n)
        elif bare == "INVALID_PDX":
            principal = p.unknown_dx
        elif bare == "PDX_ECODE":
            principal = p.dx_with["ecode"]
        elif bare == "MULTST":
            for region in rng.choice(REGIONS, 2, replace=False):
                draft.sdx.append((rows, _pick(rng, p.dx_with[region], n)))
        elif bare in COUNTED:
            _count_up(draft, rows, rng, p, bare)
        elif bare in p.clusters_with and (bare not in p.px_with or rng.random() < 0.25):
            carriers = p.clusters_with[bare]
            for choice in carriers[rng.integers(len(carriers))]:
                draft.procedures.append((rows, _pick(rng, choice, n)))
        elif bare in p.px_with:
            draft.procedures.append((rows, _pick(rng, p.px_with[bare], n)))
    draft.pdx[rows] = _pick(rng, principal, n)


def _count_up(draft: Draft, rows: Ids, rng: np.random.Generator, p: Pools, word: str) -> None:
    """Add two to five procedures that a counted word looks at, sometimes the same one again."""
    pool = _among(rng, p.px_with, COUNTED[word])
    if len(pool):
        owners = np.repeat(rows, rng.integers(1, 6, len(rows)))
        draft.procedures.append((owners, _pick(rng, pool, len(owners))))


def _realistic(draft: Draft, rows: Ids, rng: np.random.Generator, p: Pools, rules: tables.TableSet) -> None:
    clinical = np.flatnonzero(p.mdc > 0)
    shuffled = np.random.default_rng(0).permutation(clinical)
    draft.pdx[rows] = _pick(rng, shuffled, len(rows), skew=3)
    for severity, mean in (("NONE", 6.0), ("CC", 2.5), ("MCC", 0.9)):
        pool = np.random.default_rng(1).permutation(p.severity[severity])
        draft.sdx.append(_some(rng, rows, mean, pool, skew=3))
    for mdc in np.unique(p.mdc[draft.pdx[rows]]):
        own = rows[p.mdc[draft.pdx[rows]] == mdc]
        operated = own[rng.random(len(own)) < 0.5]
        draft.procedures.append(_some(rng, operated, 1.5, p.px_of_mdc[int(mdc)]))
    draft.procedures.append(_some(rng, rows, 0.8, p.all_px))


def _clusters(draft: Draft, rows: Ids, rng: np.random.Generator, p: Pools, rules: tables.TableSet) -> None:
    """Half of the clusters hide their components somewhere; half of the PDX are of implant MDCs."""
    homes = np.concatenate([p.dx_of_mdc[mdc] for mdc in (1, 3, 5, 8, 10, 11, 19)])
    anywhere = rng.random(len(rows)) < 0.5
    draft.pdx[rows] = np.where(anywhere, _pick(rng, p.all_dx, len(rows)), _pick(rng, homes, len(rows)))
    owners: list[int] = []
    codes: list[int] = []
    drawn = rng.integers(len(p.clusters), size=len(rows))
    drawn[::2] = _pick(rng, p.hiding, len(drawn[::2]))
    for row, at, lame in zip(rows, drawn, rng.random(len(rows)), strict=True):
        choices = p.clusters[at][1:] if lame < 0.25 else p.clusters[at]
        for choice in choices:
            owners.append(row)
            codes.append(choice[int(len(choice) * lame)])
    draft.procedures.append((np.array(owners, np.int64), np.array(codes, np.int64)))
    draft.procedures.append(_some(rng, rows, 0.7, p.all_px))
    draft.sdx.append(_some(rng, rows, 2.0, p.all_dx))


def _trauma(draft: Draft, rows: Ids, rng: np.random.Generator, p: Pools, rules: tables.TableSet) -> None:
    injuries = _among(rng, p.dx_with, REGIONS)
    draft.pdx[rows] = _pick(rng, injuries, len(rows))
    draft.sdx.append(_some(rng, rows, 2.0, injuries))
    draft.sdx.append(_some(rng, rows, 1.0, np.concatenate([p.severity["CC"], p.severity["MCC"]])))
    operations = np.concatenate([p.px_of_mdc[24], p.px_of_mdc[8], p.px_of_mdc[21]])
    draft.procedures.append(_some(rng, rows, 1.0, operations))


def _hac(draft: Draft, rows: Ids, rng: np.random.Generator, p: Pools, rules: tables.TableSet) -> None:
    conditions = sorted(name for name in p.dx_with if re.fullmatch(r"HAC\d\d", name))
    draft.pdx[rows] = _pick(rng, p.all_dx, len(rows))
    obese = rows[rng.random(len(rows)) < 0.15]
    draft.pdx[obese] = _pick(rng, p.dx_with["hac11_pdx"], len(obese))
    chosen = rng.integers(len(conditions), size=len(rows))
    for index, condition in enumerate(conditions):
        own = rows[chosen == index]
        draft.sdx.append((own, _pick(rng, p.dx_with[condition], len(own))))
        again = own[rng.random(len(own)) < 0.4]
        draft.sdx.append((again, _pick(rng, p.dx_with[condition], len(again))))
        operations = p.px_with.get(f"{condition.lower()}_proc")
        if operations is not None:
            operated = own[rng.random(len(own)) < 0.7]
            draft.procedures.append((operated, _pick(rng, operations, len(operated))))
    draft.procedures.append(_some(rng, rows, 0.5, p.all_px))
    draft.sdx.append(_some(rng, rows, 1.5, np.concatenate([p.severity["CC"], p.severity["MCC"], p.all_dx])))


def _birth(draft: Draft, rows: Ids, rng: np.random.Generator, p: Pools, rules: tables.TableSet) -> None:
    for mdc in (14, 15):
        own = rows[rows % 2 == mdc % 2]
        draft.pdx[own] = _pick(rng, p.dx_of_mdc[mdc], len(own))
        draft.sdx.append(_some(rng, own, 2.0, p.dx_of_mdc[mdc]))
        draft.sdx.append(_some(rng, own, 1.0, p.all_dx))
        draft.procedures.append(_some(rng, own, 0.8, p.px_of_mdc[14]))
        draft.procedures.append(_some(rng, own[rng.random(len(own)) < 0.3], 1.0, p.all_px))


def _counted(draft: Draft, rows: Ids, rng: np.random.Generator, p: Pools, rules: tables.TableSet) -> None:
    words = sorted(COUNTED)
    chosen = rng.integers(len(words), size=len(rows))
    homes = np.concatenate([p.dx_of_mdc[5], p.dx_of_mdc[8]])
    draft.pdx[rows] = _pick(rng, homes, len(rows))
    for index, word in enumerate(words):
        _count_up(draft, rows[chosen == index], rng, p, word)
    draft.procedures.append(_some(rng, rows, 0.5, np.concatenate([p.px_of_mdc[5], p.px_of_mdc[8]])))
    draft.sdx.append(_some(rng, rows, 1.5, np.concatenate([p.severity["CC"], p.severity["MCC"]])))


def _sex(draft: Draft, rows: Ids, rng: np.random.Generator, p: Pools, rules: tables.TableSet) -> None:
    dependent = np.flatnonzero(rules.diagnoses["code"].is_in(rules.sex_mdcs["pdx"].implode()).to_numpy())
    draft.pdx[rows] = _pick(rng, dependent, len(rows))
    draft.sex[rows] = rng.choice(["M", "F", "U", ""], len(rows))
    draft.sdx.append(_some(rng, rows, 2.0, p.all_dx))
    some = rows[rng.random(len(rows)) < 0.4]
    draft.procedures.append(_some(rng, some, 1.5, np.concatenate([p.px_of_mdc[12], p.px_of_mdc[13]])))


def _died(draft: Draft, rows: Ids, rng: np.random.Generator, p: Pools, rules: tables.TableSet) -> None:
    draft.pdx[rows] = _pick(rng, p.all_dx, len(rows))
    draft.status[rows] = rng.choice([20, 20, 20, 1, 0], len(rows))
    draft.sdx.append(_some(rng, rows, 1.5, p.dx_with["mccalive"]))
    draft.sdx.append(_some(rng, rows, 1.0, np.concatenate([p.severity["CC"], p.severity["MCC"]])))


_RECIPES = {
    "uniform": _uniform,
    "directed": _directed,
    "realistic": _realistic,
    "clusters": _clusters,
    "trauma": _trauma,
    "hac": _hac,
    "birth": _birth,
    "counted": _counted,
    "sex": _sex,
    "died": _died,
}


def random_claims(rules: tables.TableSet, n: int, *, seed: int) -> pl.DataFrame:
    """Return `n` claims in the ADMISSIONS layout plus `recipe`, the same ones for the same seed."""
    rng = np.random.default_rng([seed, int(rules.version.replace(".", ""))])
    p = pools(rules)
    draft = Draft(
        pdx=np.zeros(n, np.int64),
        recipe=rng.choice(list(SHARES), n, p=list(SHARES.values())),
        sex=rng.choice(["M", "F"], n),
        status=rng.choice(STATUSES, n),
    )
    for name, recipe in _RECIPES.items():
        recipe(draft, np.flatnonzero(draft.recipe == name), rng, p, rules)
    return _spoiled(draft, rng, p)


def _spoiled(draft: Draft, rng: np.random.Generator, p: Pools) -> pl.DataFrame:
    """Disturb a share of the claims, shuffle the codes of each and write the frame."""
    n = len(draft.pdx)
    sdx, procedures = _pairs(draft.sdx), _pairs(draft.procedures)
    draft.sex[rng.random(n) < 0.03] = "U"
    odd = rng.random(n) < 0.03
    draft.status[odd] = rng.choice(ODD_STATUSES, int(odd.sum()))
    sdx, procedures = _disturbed(sdx, n, rng, p.unknown_dx), _disturbed(procedures, n, rng, p.unknown_px)
    lists = [_lists(*_shuffled(*pairs, rng), codes, n) for pairs, codes in ((sdx, p.dx), (procedures, p.px))]
    careless = (rng.random(n) < 0.4) | (draft.recipe == "hac")
    count = lists[0].list.len().to_numpy().astype(np.int64)
    likely = np.array([0.34, 0.2, 0.1, 0.1, 0.07, 0.07, 0.04, 0.04, 0.02, 0.01, 0.01])
    letters = rng.choice(len(POA_LETTERS), int(count.sum()), p=likely)
    letters[~np.repeat(careless, count)] = 0
    return pl.DataFrame(
        {
            "admission_id": pl.Series(np.arange(n), dtype=pl.UInt64),
            "age": pl.Series(rng.integers(0, 100, n), dtype=pl.Int32),
            "sex": pl.Series(draft.sex.tolist(), dtype=pl.String),
            "discharge_status": pl.Series(draft.status, dtype=pl.Int32),
            "pdx": p.dx.gather(draft.pdx),
            "sdx": lists[0],
            "procedures": lists[1],
            "sdx_poa": _lists(np.repeat(np.arange(n), count), letters, pl.Series(POA_LETTERS), n),
            "recipe": pl.Series(draft.recipe.tolist(), dtype=pl.String),
        }
    )


def _pairs(parts: list[tuple[Ids, Ids]]) -> tuple[Ids, Ids]:
    return np.concatenate([rows for rows, _ in parts]), np.concatenate([codes for _, codes in parts])


def _disturbed(pairs: tuple[Ids, Ids], n: int, rng: np.random.Generator, unknown: Ids) -> tuple[Ids, Ids]:
    """Repeat some codes, turn some into unknown ones, and empty some lists."""
    rows, codes = pairs
    kept = ~(rng.random(n) < 0.03)[rows]
    rows, codes = rows[kept], codes[kept]
    again = (rng.random(n) < 0.06)[rows] & (rng.random(len(rows)) < 0.5)
    rows, codes = np.concatenate([rows, rows[again]]), np.concatenate([codes, codes[again]])
    lost = rng.random(len(rows)) < 0.01
    codes[lost] = _pick(rng, unknown, int(lost.sum()))
    return rows, codes


def _shuffled(rows: Ids, codes: Ids, rng: np.random.Generator) -> tuple[Ids, Ids]:
    order = np.lexsort((rng.random(len(rows)), rows))
    return rows[order], codes[order]


def _lists(rows: Ids, codes: Ids, names: pl.Series, n: int) -> pl.Series:
    """Return (n,) List(String): the named codes of every row, `rows` ascending, rows without codes empty."""
    texts = pl.DataFrame({"row": rows, "code": names.gather(codes)})
    lists = texts.group_by("row", maintain_order=True).agg("code")
    every = pl.DataFrame({"row": np.arange(n)}).join(lists, on="row", how="left", maintain_order="left")
    return every["code"].fill_null(pl.Series([[]], dtype=pl.List(pl.String)))
