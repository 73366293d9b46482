"""Claims on which `msdrg` 1.2.0 is known to differ from CMS's own grouper, recognised from the claim alone.

Each class is a Boolean over claims that looks only at the claim and the tables, never at an answer. The
classes were found by running both CMS's grouper and `msdrg`; `test_msdrg_oracle.py` counts and prints them
and checks that on the reference claims they cover every difference.
"""

from __future__ import annotations

import polars as pl

from drgsim.tables import table_set as tables

VALID_STATUSES = (*range(1, 8), 20, 21, 30, 43, 50, 51, *range(61, 67), 69, 70, *range(81, 96))
STATUS_MDCS = (5, 15, 20)
RECOGNISED_POA = ("Y", "N", "U", "W", "1", "E", " ", "")


def _names(frame: pl.DataFrame, *columns: str) -> pl.DataFrame:
    """Return `code`, `names`: the operand names of every code in force, as one list."""
    names = pl.concat_str([pl.col(column) for column in columns], separator=" ", ignore_nulls=True).str.split(" ")
    return frame.select(pl.first().alias("code"), names.alias("names"))


def _carries(names: str | list[str]) -> pl.Expr:
    wanted = [names] if isinstance(names, str) else names
    return pl.col("names").list.eval(pl.element().is_in(wanted)).list.any().fill_null(value=False)


def msdrg_differs(claims: pl.DataFrame, rules: tables.TableSet, hospital_status: str = "NON_EXEMPT") -> pl.DataFrame:
    """Return one Boolean column a class, a row a claim."""
    rows = claims.with_row_index("row")
    diagnoses = _names(rules.diagnoses, "operands", "hac_operands", "categories")
    procedures = _names(rules.procedures, "operands")
    mdc = rows.select("pdx").join(
        rules.diagnoses.select(pdx="code", mdc="mdc"), on="pdx", how="left", maintain_order="left"
    )["mdc"]
    odd_status = ~rows["discharge_status"].is_in(VALID_STATUSES).fill_null(value=False)
    unsexed = ~rows["sex"].is_in(["M", "F"]).fill_null(value=False)

    sdx = (
        rows.select("row", code="sdx", poa="sdx_poa")
        .explode("code", "poa", empty_as_null=False)
        .join(diagnoses, on="code", how="left")
        .with_columns(
            is_hac=pl.col("names").list.eval(pl.element().str.starts_with("HAC")).list.any().fill_null(value=False),
            present=pl.col("poa").is_in(["Y", "W"]).fill_null(value=False),
            strange=~pl.col("poa").is_in(RECOGNISED_POA).fill_null(value=True),
            shown=_carries("hac06_show"),
            obese=_carries("hac11_pdx"),
        )
        .group_by("row")
        .agg(
            strange=(pl.col("strange") & pl.col("is_hac")).any(),
            shown=(pl.col("shown") & ~pl.col("present")).any(),
            obese=(pl.col("obese") & ~pl.col("present")).any(),
            judged=(pl.col("is_hac") & ~pl.col("present")).any(),
        )
    )
    fused = (
        rows.select("row", code="procedures")
        .explode("code", empty_as_null=False)
        .join(procedures, on="code", how="left")
        .group_by("row")
        .agg(anterior=_carries("sglantfuse").sum(), posterior=_carries("sglpostfuse").sum())
        .select(
            "row",
            lopsided=(pl.col("anterior") + pl.col("posterior") >= 3)
            & (pl.min_horizontal("anterior", "posterior") == 0),
        )
    )
    found = rows.select("row").join(sdx, on="row", how="left").join(fused, on="row", how="left").sort("row")
    exempt = hospital_status == "EXEMPT"
    return pl.DataFrame(
        {
            "invalid discharge status in MDC 5, 15 or 20": odd_status & mdc.is_in(STATUS_MDCS).fill_null(value=False),
            "POA letter outside Y N U W 1 E blank on a HAC code": found["strange"].fill_null(value=False)
            & (not exempt),
            "three fusions of one column (SINGLEFUSIONCTR)": found["lopsided"].fill_null(value=False),
            "unknown sex, sex-dependent PDX, some procedure": unsexed
            & rows["pdx"].is_in(rules.sex_mdcs["pdx"].implode())
            & (rows["procedures"].list.len() > 0),
            "HAC 06 show code not present on admission": found["shown"].fill_null(value=False) & (not exempt),
            "HAC 11 principal-diagnosis code as SDX, not present on admission": found["obese"].fill_null(value=False)
            & (not exempt),
            "cluster hidden in MDC 29 that is no O.R. procedure there": _dead_end(rows, rules),
            "hospital status UNKNOWN and a HAC code not present on admission": found["judged"].fill_null(value=False)
            & (hospital_status == "UNKNOWN"),
        }
    )


def _dead_end(rows: pl.DataFrame, rules: tables.TableSet) -> pl.Series:
    """CMS's program stops with an error, drgsim says NO_DRG_FOUND, and `msdrg` answers DRG 0 with code OK.

    A component leads from the PDX's MDC to 29, where it is hidden; so clusters that hide in every MDC do not matter.
    """
    hides_in = pl.col("suppressed_mdcs").str.split(" ")
    dead = rules.clusters.filter(
        hides_in.list.contains("29"),
        hides_in.list.len() < rules.formulas["mdc"].n_unique() - 2,
        ~pl.col("operands").fill_null("").str.contains(r"\bd4(68|77)\b"),
    )
    found = pl.Series([False]).new_from_index(0, rows.height)
    for choices in dead["choices"]:
        present = [
            rows["procedures"].list.eval(pl.element().is_in(choice.split())).list.any()
            for choice in choices.split(" + ")
        ]
        found |= (
            pl.DataFrame([part.alias(str(i)) for i, part in enumerate(present)])
            .select(pl.all_horizontal(pl.all()))
            .to_series()
        )
    return found
