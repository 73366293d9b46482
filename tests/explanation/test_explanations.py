"""Explanations say what the reference says of claims, codes and rules, and every formula is true by hand."""

from __future__ import annotations

import re
from functools import lru_cache
from html.parser import HTMLParser
from pathlib import Path as File

import polars as pl
import pytest

from drgsim import InputError, Rates, SchemaError, TableSet, generate, group, price
from drgsim.explanation.explanations import Explanation, describe_pay_code, explain
from drgsim.explanation.grouping_path import GroupingPath
from drgsim.grouping.code_attributes import compile_attributes
from drgsim.grouping.grouper import run_steps
from drgsim.pricing.pricer import COMPONENTS
from drgsim.tables.encoding import check_admissions, encode_span
from drgsim.tables.table_set import CLAIM_WORDS

TABLES = TableSet.load("43.1")
RUNS = [
    *((name, "NON_EXEMPT") for name in ("v400", "v411", "v421", "v430", "v431", "v440", "v431hac")),
    ("v431hac", "EXEMPT"),
    ("v431hac", "UNKNOWN"),
]
CASE = {
    "admission_id": 1,
    "age": 54,
    "sex": "F",
    "discharge_status": 1,
    "pdx": "K81.0",
    "sdx": ["I10", "J96.01"],
    "sdx_poa": ["Y", "Y"],
    "procedures": ["0FT44ZZ"],
}
STAY = {**CASE, "hospital_id": "A", "los_days": 5, "covered_charges_usd": 60_000.0}
HOSPITAL = pl.DataFrame({"hospital_id": ["A"], "wage_index": [1.05], "operating_ccr": [0.28]})


# ------------------------------------------------------------------------------------ the reference claims


def sampled(shared: File, name: str, status: str, n: int, seed: int) -> pl.DataFrame:
    """A sample of every sort of reference claim, beside the reference's answers."""
    suffix = "" if status == "NON_EXEMPT" else f"_{status}"
    claims = pl.read_parquet(shared / "claims" / f"{name}_claims.parquet")
    expected = pl.read_parquet(shared / "claims" / f"{name}_expected{suffix}.parquet")
    both = claims.join(expected, on="admission_id", how="left", maintain_order="left")
    assert both["initial_drg"].null_count() == 0
    return both.sample(fraction=1, shuffle=True, seed=seed).filter(pl.int_range(pl.len()).over("recipe") < n)


@lru_cache(maxsize=16)
def names_of(version: str) -> tuple[dict[str, set[str]], dict[str, set[str]], dict[str, set[str]]]:
    """Names of each diagnosis, procedure and cluster, straight from the tables."""
    tables = TableSet.load(version)

    def names(frame: pl.DataFrame, key: str, *columns: str) -> dict[str, set[str]]:
        text = pl.concat_str([pl.col(c).fill_null("") for c in columns], separator=" ")
        return {code: set(own.split()) for code, own in frame.select(key, text).rows()}

    return (
        names(tables.diagnoses, "code", "operands", "hac_operands", "categories"),
        names(tables.procedures, "code", "operands"),
        names(tables.clusters, "cluster", "operands"),
    )


@lru_cache(maxsize=16)
def exclusions_of(version: str) -> tuple[set[tuple[int, str]], dict[str, int]]:
    """Pairs of exclusion group and secondary code, and the group of each principal diagnosis."""
    tables = TableSet.load(version)
    return set(tables.exclusion_groups.rows()), dict(tables.pdx_exclusions.select("pdx", "group").rows())


def evaluated(formula: str, truth: dict[str, bool]) -> bool:
    """The formula by Python's own operators: another evaluator than the engine's."""
    words = re.findall(r"[()&|~]|[^()&|~\s]+", formula)
    signs = {"&": "and", "|": "or", "~": "not", "(": "(", ")": ")"}
    return bool(eval(" ".join(signs.get(word) or str(truth[word]) for word in words), {}))


def check_answer(why: Explanation, claim: dict[str, object]) -> None:
    assert why["initial_drg"] == claim["initial_drg"]
    assert why["drg"] == claim["final_drg"]
    assert why["mdc"] == claim["final_mdc"]
    assert why["severity"] == str(claim["final_severity"]).replace("NON_CC", "NONE")
    assert why["return_code"] == claim["return_code"]


def check_path(why: Explanation, claim: dict[str, object]) -> None:
    """The last search of each grouping ends in the reference's DRG, or its return code."""
    for grouping, prefix in (("initial", "initial"), ("final", "final")):
        steps = why.steps.filter(grouping=grouping)
        if steps.is_empty():  # nothing was hospital-acquired, or the HAC step stopped it
            assert grouping == "final"
            continue
        last = steps.row(-1, named=True)
        if last["outcome"] == "DRG":
            assert last["drg"] == claim[f"{prefix}_drg"]
        else:
            assert claim[f"{prefix}_drg"] == 999
            assert last["return_code"] == claim["initial_return_code"]
    if why.steps.filter(grouping="final").is_empty() and claim["return_code"] == "OK":
        assert claim["initial_drg"] == claim["final_drg"]


def check_formulas(why: Explanation, tables: TableSet, claim: dict[str, object]) -> int:
    """Every formula that ended a search is true operand by operand, through codes that carry the operand."""
    diagnoses, procedures, clusters = names_of(tables.version)
    pdx, sdx, codes = (why.codes.filter(kind=kind)["code"].to_list() for kind in ("pdx", "sdx", "procedure"))
    checked = 0
    for step in why.steps.filter(pl.col("formula").is_not_null()).iter_rows(named=True):
        own = why.operands.filter(grouping=step["grouping"], mdc=step["mdc"])
        assert evaluated(step["formula"], dict(own.select("operand", "holds").rows()))
        for operand, holds, because in own.select("operand", "holds", "because").rows():
            prefix, _, name = operand.rpartition(":")
            checked += 1
            if name == "incident" or operand in CLAIM_WORDS - {"MCC", "CC"}:
                assert bool(because) >= holds
                continue
            if operand in ("MCC", "CC"):
                listed = {row["code"] for row in why.codes.iter_rows(named=True) if row["severity"] == operand}
                assert not holds or (because and set(because) <= listed)
                continue
            if prefix:
                looked_at = (pdx if prefix in ("PDX", "ANY") else []) + (sdx if prefix in ("SDX", "ANY") else [])
                carrying = {code for code in looked_at if name in diagnoses.get(code, ())}
                assert holds == bool(carrying)
                assert set(because) == carrying
                continue
            whole = {code for code in codes if name in procedures.get(code, ())}
            together = {c for c in why.clusters["cluster"] if name in clusters[c]}
            shown = {text.partition(" ")[0] for text in because}
            if holds:
                assert shown
                assert shown <= whole | together
            else:  # what carries it is hidden where it is searched
                assert shown == whole
                assert not together
    return checked


def check_codes(why: Explanation, tables: TableSet, claim: dict[str, object]) -> None:
    """Severity used, what was excluded, HAC and impact of each code are the reference's."""
    sdx, procedures = (why.codes.filter(kind=kind) for kind in ("sdx", "procedure"))
    for ours, theirs in {
        "valid": "sdx_valid",
        "used_initial": "sdx_sev_initial",
        "used_final": "sdx_sev_final",
        "impact": "sdx_impact",
        "hac": "sdx_hac",
        "poa_status": "sdx_poa_status",
    }.items():
        assert sdx[ours].to_list() == claim[theirs], theirs
    assert procedures["is_or"].to_list() == claim["proc_is_or"]
    assert procedures["hac"].to_list() == claim["proc_hac_usage"]
    assert why.codes.row(0, named=True)["valid"] == claim["pdx_valid"]
    groups, of_pdx = exclusions_of(tables.version)
    plain = "excluded_by_drg_logic" not in tables.reporting
    for row in sdx.iter_rows(named=True):
        for when in ("initial", "final"):
            used, lost = row[f"used_{when}"], row[f"lost_{when}"] or ""
            by_logic = lost.startswith("suppressed")
            if claim["initial_return_code"] == "OK":
                # Lost in words where, and only where, the reference did not use it (v40.0 to 41.0 do not tell logic).
                counts = used in ("MCC", "CC") and not (plain and by_logic)
                assert bool(lost) == (row["severity"] != "NONE" and not counts)
            assert used.endswith(("MCC_EXCLUDED", "CC_EXCLUDED")) == lost.startswith("excluded beside")
            if lost.startswith("excluded beside"):
                assert (of_pdx[why.codes["code"][0]], row["code"]) in groups
                assert lost.endswith(f"group {of_pdx[why.codes['code'][0]]}")
            if used.endswith("_BY_DRG_LOGIC"):
                assert by_logic
                suppressors = set(lost.partition("operand ")[2].split(", "))
                assert suppressors
                assert suppressors <= names_of(tables.version)[0][row["code"]]
                last = why.steps.filter(grouping=why.steps["grouping"][-1] if when == "final" else "initial")
                assert suppressors <= set(last["suppressed_by"][-1].split())


def check_hacs(why: Explanation, claim: dict[str, object]) -> None:
    """Conditions met, one by one, are the reference's texts `number:status:label`."""
    for place, text in enumerate(claim["sdx_hac"]):  # type: ignore[arg-type]
        reported = [tuple(entry.split(":")) for entry in text.split(";") if entry]
        own = why.hacs.filter(place=place)
        met = {(str(hac), label) for hac, label in own.filter(status="MET").select("hac", "label").rows()}
        assert met == {(number, label) for number, status, label in reported if status == "1"}
        excluded = {(str(hac), label) for hac, label in own.filter(status="EXCLUDED").select("hac", "label").rows()}
        assert excluded == {(number, label) for number, status, label in reported if status == "3"}
    assert why["hac_count"] == claim["n_hac"] == why.hacs.filter(status="MET")["hac"].n_unique()


def check_run(shared: File, name: str, status: str, n: int, seed: int) -> None:
    tables = TableSet.load(f"{name[1:3]}.{name[3]}")
    claims = sampled(shared, name, status, n, seed)
    admissions = claims.drop([column for column in claims.columns if column.startswith("proc_")])
    ours = group(admissions, tables, hospital_status=status, detail=True)
    checked = 0
    for place, claim in enumerate(claims.iter_rows(named=True)):
        why = explain(admissions[[place]], tables, hospital_status=status)
        for column in ("drg", "mdc", "severity", "return_code", "initial_drg", "initial_mdc", "hac_count", "base_drg"):
            assert why[column] == ours[column][place]
        # CMS's tie rules between procedures are not fully known: which one decided is as far as `group` knows it.
        assert why.codes.filter(kind="procedure")["impact"].to_list() == ours["proc_impact"][place].to_list()
        check_answer(why, claim)
        check_path(why, claim)
        checked += check_formulas(why, tables, claim)
        if "sdx_impact" in claims.columns:
            check_codes(why, tables, claim)
            check_hacs(why, claim)
        assert str(claim["final_drg"]) in str(why)
    assert claims.height >= 50
    assert checked > claims.height


@pytest.mark.parametrize(("name", "status"), RUNS)
def test_reference_claims_are_explained(shared: File, name: str, status: str):
    check_run(shared, name, status, 3 if "hac" not in name else 60, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "status"), RUNS)
def test_many_reference_claims_are_explained(shared: File, name: str, status: str):
    check_run(shared, name, status, 150 if "hac" not in name else 1_500, seed=2)


@pytest.mark.parametrize("name", ["v400", "v421", "v431"])
def test_what_failed_was_false_and_lacked_what_is_said(shared: File, name: str):
    """A formula that failed is false as it is, and true once the operands it lacked have their other truth."""
    tables = TableSet.load(f"{name[1:3]}.{name[3]}")
    rules = compile_attributes(tables)
    book = rules.rulebook
    rows = {(int(mdc), formula): row for row, (mdc, formula) in enumerate(zip(book.mdc, book.formulas, strict=False))}
    claims = sampled(shared, name, "NON_EXEMPT", 2, seed=3)
    encoded = encode_span(check_admissions(claims, "NON_EXEMPT"), tables)
    looked_at = 0
    for place, claim in enumerate(claims.iter_rows(named=True)):
        grouping = run_steps(encoded.rows(place, place + 1), rules)
        path = GroupingPath(grouping, (claim["pdx"], claim["sdx"], claim["procedures"]), claim["sdx_poa"], "")
        sources = path.find_sources(list(path.passes)[-1])
        for mdc, formula, lacked in path.failed.select("mdc", "formula", "lacked").head(12).rows():
            holds = sources.make_truth(rows[mdc, formula])
            truth = {word: holds(word) for word in re.findall(r"[^()&|~\s]+", formula)}
            assert lacked
            assert not evaluated(formula, truth)
            assert all(truth[word.removeprefix("~")] == word.startswith("~") for word in lacked)
            assert evaluated(formula, truth | {word.removeprefix("~"): not word.startswith("~") for word in lacked})
            looked_at += 1
    assert looked_at > 100


# ------------------------------------------------------------------------------------ rules, by hand


def said(why: Explanation, code: str, column: str) -> object:
    return why.codes.filter(code=code)[column][0]


def test_a_cholecystectomy_with_respiratory_failure():
    why = explain(CASE, TABLES)
    assert (why["drg"], why["mdc"], why["severity"], why["return_code"]) == (417, 7, "MCC", "OK")
    assert why.operands.rows() == [("initial", 7, "MCC", True, ["J9601"]), ("initial", 7, "d493", True, ["0FT44ZZ"])]
    assert why.steps.select("mdc", "outcome", "drg").rows() == [(0, "nothing", None), (7, "DRG", 417)]
    assert said(why, "K810", "description") == "Acute cholecystitis"
    assert said(why, "0FT44ZZ", "description") is None
    assert why.mdc_reason.startswith("K810 belongs to MDC 7 (")


def test_what_the_mcc_lacked_is_nearest():
    why = explain({**CASE, "sdx": ["I10"], "sdx_poa": ["Y"]}, TABLES, Rates.load(2026))
    weights = dict(Rates.load(2026).weights.select("drg", "weight").rows())
    nearest = why.failed.select("drg", "lacked", "weight").head(2).rows()
    assert nearest == [(418, ["CC"], weights[418]), (417, ["MCC"], weights[417])]
    assert why.failed.height == 8
    everything = explain({**CASE, "sdx": ["I10"], "sdx_poa": ["Y"]}, TABLES, nearest=1_000)
    assert everything.left_out == 0
    assert everything.failed.height == 8 + why.left_out
    assert f"{why.left_out} more that lacked" in str(why)
    none = explain(CASE, TABLES, nearest=0)
    assert none.failed.height == 0


def test_a_pdx_exclusion_names_its_group():
    why = explain({**CASE, "pdx": "J96.01", "procedures": []}, TABLES)
    group_number = TABLES.pdx_exclusions.filter(pdx="J9601")["group"].item()
    row = why.codes.filter(kind="sdx", code="J9601").row(0, named=True)
    assert row["lost_initial"] == row["lost_final"] == f"excluded beside J9601, exclusion group {group_number}"
    assert row["used_final"] == "MCC_EXCLUDED"


def test_death_takes_an_mcc_and_says_by_which_operand():
    dying = TABLES.diagnoses.filter(pl.col("operands").str.split(" ").list.contains("mccalive"))["code"][0]
    case = {**CASE, "sdx": [dying], "sdx_poa": ["Y"]}
    alive, dead = explain(case, TABLES), explain({**case, "discharge_status": 20}, TABLES)
    assert (alive["drg"], dead["drg"]) == (417, 419)
    assert said(alive, dying, "lost_final") is None
    assert said(dead, dying, "lost_final") == "the patient died, operand mccalive"
    mcc = dead.failed.filter(drg=417)["lacked"][0].to_list()
    assert mcc == ["MCC"]


def test_drg_logic_suppresses_an_infarction_that_it_asks_for():
    """An infarction as secondary code decides DRG 280 to 282 and is no MCC there (Definitions Manual, MDC 5)."""
    why = explain({**CASE, "pdx": "I25.10", "sdx": ["I21.09"], "sdx_poa": ["Y"], "procedures": []}, TABLES)
    assert (why["drg"], why["severity"]) == (282, "NONE")
    assert said(why, "I2109", "lost_final") == "suppressed by the formula row, operand ami"
    assert why.operands.filter(operand="ANY:ami")["because"].to_list() == [["I2109"]]


def test_a_hospital_acquired_ulcer_changes_the_drg():
    case = {**CASE, "sdx": ["L89.154"], "sdx_poa": ["N"]}
    why = explain(case, TABLES)
    assert (why["initial_drg"], why["drg"], why["hac_count"]) == (417, 419, 1)
    assert said(why, "L89154", "lost_initial") is None
    assert said(why, "L89154", "lost_final") == "hospital-acquired condition"
    assert why.hacs.select("hac", "poa", "status").rows() == [(4, "N", "MET")]
    assert why.steps.filter(outcome="DRG").select("grouping", "drg").rows() == [("initial", 417), ("final", 419)]
    assert "Before hospital-acquired conditions counted it was DRG 417." in str(why)
    present = explain({**case, "sdx_poa": ["Y"]}, TABLES)
    assert present.hacs.select("status", "why").rows() == [("NOT_MET", "present on admission (Y)")]
    exempt = explain(case, TABLES, hospital_status="EXEMPT")
    assert exempt.hacs.select("status", "why").rows() == [("EXEMPT", "the hospital does not report POA")]
    unstated = explain({**case, "sdx_poa": [None]}, TABLES)
    assert (unstated["drg"], unstated["initial_drg"]) == (999, 417)
    assert "POA letter that is missing" in str(unstated)


def test_a_condition_that_is_not_met_says_what_its_formula_lacks():
    """Mediastinitis after bypass surgery, HAC 08, without the bypass."""
    why = explain({**CASE, "sdx": ["J98.51"], "sdx_poa": ["N"]}, TABLES)
    row = why.hacs.row(0, named=True)
    assert (row["hac"], row["status"]) == (8, "NOT_MET")
    assert row["why"] == f"{row['formula']} lacks hac08_proc"


def test_a_cluster_decides_and_hides_its_parts():
    case = {**CASE, "pdx": "I50.21", "sdx": [], "sdx_poa": [], "procedures": ["02HK3KZ", "0JH609Z"]}
    why = explain(case, TABLES)
    assert why["drg"] == 276 or why["drg"] == 277
    assert why.clusters.select("cluster", "codes", "hidden_in_mdcs").rows() == [
        ("Z@0218", ["02HK3KZ", "0JH609Z"], [5, 29])
    ]
    assert why.operands.filter(operand="defib")["because"].to_list() == [["Z@0218 (02HK3KZ + 0JH609Z)"]]


def test_reroutes_are_told():
    """Two body regions of significant trauma go to MDC 24; an unrelated operation goes on in MDC 29."""
    trauma = explain({**CASE, "pdx": "S06.5X9A", "sdx": ["S36.113A"], "sdx_poa": ["Y"], "procedures": []}, TABLES)
    assert trauma["mdc"] == 24
    assert trauma.steps.select("mdc", "outcome", "reroute_mdc").row(0) == (0, "reroute", 24)
    assert trauma.operands.filter(operand="MULTST", mdc=0)["because"].to_list() == [["S065X9A", "S36113A"]]
    assert trauma.mdc_reason.startswith("the pre-MDC moved it to MDC 24")
    unrelated = explain({**CASE, "pdx": "J18.9"}, TABLES)
    assert unrelated["mdc"] == 4
    assert unrelated.steps.select("mdc", "outcome").rows() == [(0, "nothing"), (4, "reroute"), (29, "DRG")]
    assert unrelated["drg"] == unrelated.steps["drg"][-1] == 987
    assert "going on in MDC 29 keeps it" in unrelated.mdc_reason


@pytest.mark.parametrize(
    ("changed", "code", "reason"),
    [
        ({"pdx": "NOPE"}, "INVALID_PDX", "no code of this version"),
        ({"pdx": None}, "INVALID_PDX", "no code of this version"),
        ({"pdx": "W19.XXXA"}, "DX_CANNOT_BE_PDX", "an external cause"),
        ({"pdx": "A51.0", "sex": "U"}, "INVALID_SEX", "neither M nor F"),
        ({"pdx": "Z38.00", "procedures": [], "discharge_status": 99}, "INVALID_DISCHARGE_STATUS", "none of the"),
    ],
)
def test_an_ungroupable_admission_says_why(changed: dict[str, object], code: str, reason: str):
    why = explain({**CASE, **changed}, TABLES)
    assert (why["drg"], why["return_code"]) == (999, code)
    assert why.steps["return_code"][-1] == code
    assert reason in str(why)
    assert why.mdc_reason == "none, the admission cannot be grouped"


@pytest.mark.parametrize("column", ["sdx", "procedures", "sdx_poa", "sex", "discharge_status", "age"])
def test_null_is_explained(column: str):
    assert str(explain({**CASE, column: None}, TABLES)).startswith("MS-DRG ")


# ------------------------------------------------------------------------------------ dollars


def test_the_lines_of_the_payment_add_up_and_are_those_of_pay():
    hospitals, admissions = generate(40, seed=3, tables=TABLES)
    paid = price(group(admissions, TABLES), hospitals, Rates.load(2026))
    for place in range(40):
        own = hospitals.filter(hospital_id=admissions["hospital_id"][place])
        why = explain(admissions[[place]], TABLES, Rates.load(2026), own)
        assert why.payment is not None
        lines = {line: usd for line, usd in why.payment.select("line", "usd").rows() if usd is not None}
        expected = {n: paid[n][place] for n in (*COMPONENTS, "total_usd") if paid[n][place] or n == "total_usd"}
        assert list(lines.values()) == list(expected.values())
        assert round(sum(lines.values()) - lines["total"], 2) == round(lines["total"], 2)
        assert why["weight"] == paid["weight"][place]
        assert f"{paid['total_usd'][place]:,.2f}" in str(why)


def test_a_transfer_and_an_outlier_are_told():
    hip = {**STAY, "pdx": "S72.001A", "procedures": ["0SRR0JZ"], "discharge_status": 3, "los_days": 2, "sdx": ["I10"]}
    why = explain(hip, TABLES, Rates.load(2026), HOSPITAL)
    assert "transfer pays 87.50% of the full payment" in str(why)
    assert describe_pay_code(10) in str(why)
    dear = explain({**STAY, "covered_charges_usd": 900_000.0}, TABLES, Rates.load(2026), HOSPITAL)
    assert dear.payment is not None
    assert "operating outlier" in dear.payment["line"].to_list()
    unpaid = explain({**STAY, "pdx": "NOPE"}, TABLES, Rates.load(2026), HOSPITAL)
    assert "weight none: the DRG is not paid by weight" in str(unpaid)
    assert describe_pay_code(54) in str(unpaid)


def test_rates_alone_give_the_weight():
    why = explain(CASE, TABLES, Rates.load(2026))
    assert why.payment is not None
    table = Rates.load(2026).weights
    assert why["weight"] == table.filter(drg=417)["weight"].item()
    assert why.payment["line"].to_list() == ["weight"]
    assert explain(CASE, TABLES).payment is None
    assert "Payment" not in str(explain(CASE, TABLES))


def test_an_admission_without_hospital_is_that_of_the_hospital_given():
    stay = {name: value for name, value in STAY.items() if name != "hospital_id"}
    named = explain(STAY, TABLES, Rates.load(2026), HOSPITAL)
    assert explain(stay, TABLES, Rates.load(2026), HOSPITAL)["total_usd"] == named["total_usd"] > 0
    strange = explain({**STAY, "hospital_id": "B"}, TABLES, Rates.load(2026), HOSPITAL)
    assert strange["pay_code"] == 51
    assert "no such hospital" in str(strange)


def test_several_fiscal_years():
    import datetime as dt

    stay = {**STAY, "discharge_date": dt.date(2024, 11, 1)}
    both = explain(stay, TABLES, [Rates.load(2025), Rates.load(2026)], HOSPITAL)
    alone = explain(stay, TABLES, Rates.load(2025), HOSPITAL)
    assert both["total_usd"] == alone["total_usd"] > 0
    assert both.failed.equals(alone.failed)
    assert both.failed["weight"].null_count() == 0


# ------------------------------------------------------------------------------------ what is shown


def test_a_frame_and_a_mapping_say_the_same():
    frame = pl.DataFrame([CASE])
    assert str(explain(frame, TABLES)) == str(explain(CASE, TABLES)) == repr(explain(CASE, TABLES))


def test_text_fits_a_prompt():
    long = {**STAY, "sdx": ["I21.09", "J96.01", "T81.41XA"], "sdx_poa": ["Y", "Y", "N"]}
    assert max(map(len, str(explain(long, TABLES, Rates.load(2026), HOSPITAL)).splitlines())) <= 118


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_html_is_whole_and_escaped():
    why = explain({**STAY, "sdx": ["<script>alert(1)</script>"], "sdx_poa": ["<"]}, TABLES, Rates.load(2026), HOSPITAL)
    html = why._repr_html_()
    tags = _Tags()
    tags.feed(html)
    assert tags.open == []
    assert "<script" not in html.lower()
    assert "<SCRIPT>ALERT(1)</SCRIPT>" in tags.text
    assert not re.search(r"https?:|src=|href=", html)
    for section in why.sections:
        assert section.title in tags.text


@pytest.mark.parametrize("height", [0, 2])
def test_one_admission_and_one_hospital(height: int):
    many = pl.concat([pl.DataFrame([STAY])] * 2)[:height]
    with pytest.raises(InputError, match=f"admission has {height} rows, expected one"):
        explain(many, TABLES)
    with pytest.raises(InputError, match=f"hospital has {height} rows, expected one"):
        explain(STAY, TABLES, Rates.load(2026), pl.concat([HOSPITAL, HOSPITAL])[:height])


def test_what_cannot_be_used_is_told():
    with pytest.raises(InputError, match="a hospital without rates"):
        explain(STAY, TABLES, hospital=HOSPITAL)
    with pytest.raises(InputError, match="expected a TableSet"):
        explain(CASE, "43.1")  # type: ignore[arg-type]
    # A list of dicts is a frame (test_foreign_frames.py); a list of anything else is none.
    for wrong in ([], ["K810"], [CASE, "K810"]):
        with pytest.raises(InputError, match="admission is list, expected a polars DataFrame"):
            explain(wrong, TABLES)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="admission has 2 rows, expected one"):
        explain([CASE, CASE], TABLES)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="nearest is -1"):
        explain(CASE, TABLES, nearest=-1)
    with pytest.raises(SchemaError, match="lack 1 column: pdx"):
        explain({name: value for name, value in CASE.items() if name != "pdx"}, TABLES)
    with pytest.raises(InputError, match="the admission is no row"):
        explain({**CASE, "sdx": ["I10", {"a": 1}]}, TABLES)
