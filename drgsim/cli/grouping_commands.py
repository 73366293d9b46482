"""Commands that make, group, price and edit admissions: generate, group, price, edit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from drgsim.cli.console import DONE, Commands, Options, Progress, add_command, report_progress, whole_number_from
from drgsim.cli.shared_arguments import (
    GROUPED_CLAIMS,
    STREAM,
    add_claims,
    add_contracts,
    add_fiscal_years,
    add_hospital_status,
    add_hospitals,
    add_output,
    add_seed,
    add_version,
    list_versions,
)
from drgsim.exceptions import InputError

if TYPE_CHECKING:
    import polars as pl

SLICE = 131_072
"""Most rows that are grouped or priced before progress counts them."""


def add_generate_command(commands: Commands) -> None:
    """Declare `drgsim generate`."""
    parser = add_command(
        commands,
        "generate",
        _run_generate,
        does="draw synthetic admissions, and the hospitals they were in",
        example="drgsim generate 100000 claims.parquet --hospitals hospitals.csv --seed 1",
    )
    parser.add_argument("n", type=whole_number_from(0), metavar="N", help="number of admissions")
    add_output(parser)
    parser.add_argument("--hospitals", metavar="FILE", help="where to write the hospitals (.parquet, .csv)")
    parser.add_argument(
        "--population",
        default="medicare_ffs",
        help="a shipped population (default medicare_ffs; a wrong name lists them), or a TOML file",
    )
    add_version(parser)
    add_seed(parser)


def _run_generate(options: Options) -> int:
    import polars as pl

    from drgsim.cli.frame_files import check_writable, write_frame
    from drgsim.synthetic.generator import generate, generate_batches
    from drgsim.tables.table_set import TableSet

    for path in (options.out, options.hospitals):
        check_writable(path or STREAM)
    tables = TableSet.load(options.version)
    asked = {"seed": options.seed, "tables": tables, "population": options.population}
    hospitals, admissions = generate(0, **asked)
    batches = []
    with Progress(options, "generate", options.n, "admissions") as progress:
        for _, batch in generate_batches(options.n, **asked, batch_size=SLICE):
            batches.append(batch)
            progress.done += batch.height
    admissions = pl.concat(batches) if batches else admissions
    if options.hospitals:
        write_frame(hospitals, options.hospitals)
    write_frame(admissions, options.out)
    report_progress(options, f"{admissions.height:,} admissions of {hospitals.height:,} hospitals")
    return DONE


# ---------------------------------------------------------------------------------------------------------


def add_group_command(commands: Commands) -> None:
    """Declare `drgsim group`."""
    parser = add_command(
        commands,
        "group",
        _run_group,
        does="group claims to MS-DRGs",
        example="drgsim group claims.csv grouped.parquet --version 43.1\ndrgsim group large.parquet grouped/",
        about="Adds drg, mdc, base_drg, drg_type, severity, initial_drg, initial_mdc, hac_count and return_code.",
    )
    add_claims(parser)
    add_output(parser, in_parts=True)
    parser.add_argument("--version", help="grouper version, or a column of versions (default: by discharge_date)")
    parser.add_argument("--detail", action="store_true", help="also write CMS's reports of each code")
    add_hospital_status(parser)


def _run_group(options: Options) -> int:
    import polars as pl

    from drgsim.cli.assumptions import describe_poa
    from drgsim.cli.frame_files import check_writable, read_admissions, write_frame
    from drgsim.grouping.grouper import group_and_count_codes
    from drgsim.schema import NUMBERS
    from drgsim.tables.unknown_codes import UNKNOWN_CODES

    if is_folder(options.out):
        return _group_in_parts(options)
    check_writable(options.out)
    admissions, version = read_admissions(options, count_codes=False), options.version
    if version in admissions.columns and admissions.schema[version] in NUMBERS:
        admissions = admissions.with_columns(pl.col(version).cast(pl.String))
    _report(options, describe_poa(admissions, options.hospital_status))

    counts = [pl.DataFrame(schema=UNKNOWN_CODES)]

    def group_slice(rows: pl.DataFrame) -> pl.DataFrame:
        grouped, unknown = group_and_count_codes(
            rows, version=version, hospital_status=options.hospital_status, detail=options.detail
        )
        counts.append(unknown)
        return grouped

    grouped = _work_in_slices(options, "group", admissions, group_slice)
    write_frame(grouped, options.out)
    _report(options, [*describe_unknown(pl.concat(counts), admissions, version), *describe_grouped(grouped)])
    return DONE


def describe_unknown(counts: pl.DataFrame, claims: pl.DataFrame, version: str | None) -> list[str]:
    """Return lines on codes that are none of the version that groups them.

    Args:
        counts: of slices of the claims, as `drgsim.grouping.count_unknown_codes` returns them.
        claims: all of them.
        version: as in `group`.
    """
    import polars as pl

    from drgsim.tables.unknown_codes import describe_unknown_codes

    totals = []
    for field in counts["field"].unique(maintain_order=True):
        given = pl.col(field) if field == "pdx" else pl.col(field).explode()
        totals.append((field, claims.select((given.str.strip_chars() != "").sum()).item()))
    fields = pl.DataFrame(totals, {"field": pl.String, "codes": pl.UInt32}, orient="row")
    summed = counts.group_by("field", "looks_like", maintain_order=True).agg(pl.col("count").sum())
    words = version if version in list_versions() else "the version of their admission"
    return describe_unknown_codes(summed.join(fields, on="field", maintain_order="left"), words)


def _group_in_parts(options: Options) -> int:
    """Group Parquet into a folder of parts, which a repeated command continues."""
    import polars as pl

    from drgsim.cli.assumptions import describe_poa
    from drgsim.scale.parquet import ROWS, group_parquet

    source = scan_parquet(options)
    _report(options, describe_poa(source, options.hospital_status))
    with watch_parts(options, "group", source, Path(options.out), ROWS):
        group_parquet(
            options.claims,
            options.out,
            version=options.version,
            hospital_status=options.hospital_status,
            detail=options.detail,
        )
    _report(options, describe_grouped(pl.scan_parquet(Path(options.out) / f"{ROWS}-*.parquet")))
    return DONE


def describe_grouped(grouped: pl.DataFrame | pl.LazyFrame) -> list[str]:
    """Return lines on how many admissions are grouped, and why others are not.

    >>> import polars as pl
    >>> describe_grouped(pl.DataFrame({"return_code": ["OK", "INVALID_PDX"]}))
    ['grouped; 1 ungroupable: INVALID_PDX (1)']
    """
    import polars as pl

    codes = grouped.lazy().select(pl.col("return_code").cast(pl.String)).group_by("return_code").len()
    found = codes.filter(pl.col("return_code") != "OK").sort("len", "return_code", descending=[True, False]).collect()
    why = ", ".join(f"{code} ({count:,})" for code, count in found.iter_rows())
    return [f"grouped; {found['len'].sum():,} ungroupable{f': {why}' if why else ''}"]


# ---------------------------------------------------------------------------------------------------------


def add_price_command(commands: Commands) -> None:
    """Declare `drgsim price`."""
    parser = add_command(
        commands,
        "price",
        _run_price,
        does="price grouped admissions",
        example="drgsim group claims.csv - | drgsim price - paid.csv --hospitals hospitals.csv",
        about="Adds each component of the IPPS payment, total_usd and pay_code. Each admission has the rates of the "
        "fiscal year of its discharge_date, unless --fiscal-year names one.",
    )
    add_claims(parser, GROUPED_CLAIMS)
    add_output(parser, in_parts=True)
    add_hospitals(parser, required=True)
    add_fiscal_years(parser)
    add_contracts(parser)


def _run_price(options: Options) -> int:
    from drgsim.cli.assumptions import (
        check_pricing,
        choose_rates,
        count_fiscal_years,
        describe_hospital_defaults,
        join_contracts,
        match_hospitals,
    )
    from drgsim.cli.frame_files import check_writable, read_admissions, read_hospital_file, write_frame
    from drgsim.pricing.pricer import price

    if is_folder(options.out):
        return _price_in_parts(options)
    check_writable(options.out)
    admissions = read_admissions(options, count_codes=False)
    hospitals, admissions, lines = match_hospitals(read_hospital_file(options.hospitals), admissions)
    rates, years = choose_rates(count_fiscal_years(admissions), options.fiscal_years, check_pricing(hospitals))
    _report(options, [*years, *lines, *describe_hospital_defaults(hospitals)])
    terms = join_contracts(rates, options.contracts)
    paid = _work_in_slices(options, "price", admissions, lambda rows: price(rows, hospitals, terms))
    write_frame(paid, options.out)
    _report(options, describe_paid(paid))
    return DONE


def _price_in_parts(options: Options) -> int:
    """Price Parquet into a folder of parts, which a repeated command continues."""
    import polars as pl

    from drgsim.cli.assumptions import (
        check_pricing,
        choose_rates,
        count_fiscal_years,
        describe_hospital_defaults,
        join_contracts,
        match_hospitals_in_parts,
    )
    from drgsim.cli.frame_files import read_hospital_file
    from drgsim.scale.parquet import ROWS, price_parquet

    source = scan_parquet(options)
    hospitals, lines = match_hospitals_in_parts(read_hospital_file(options.hospitals), source)
    rates, years = choose_rates(count_fiscal_years(source), options.fiscal_years, check_pricing(hospitals))
    _report(options, [*years, *lines, *describe_hospital_defaults(hospitals)])
    with watch_parts(options, "price", source, Path(options.out), ROWS):
        price_parquet(options.claims, options.out, hospitals, join_contracts(rates, options.contracts))
    _report(options, describe_paid(pl.scan_parquet(Path(options.out) / f"{ROWS}-*.parquet")))
    return DONE


def describe_paid(paid: pl.DataFrame | pl.LazyFrame) -> list[str]:
    """Return lines on the payment, and on the admissions without one, by reason.

    >>> import polars as pl
    >>> describe_paid(pl.DataFrame({"total_usd": [100.0, 0.0], "pay_code": [0, 51]}))
    ['paid 100.00 USD; 1 admissions not paid', '1 not paid: no such hospital (pay_code 51)']
    """
    import polars as pl

    from drgsim.cli.assumptions import describe_unpaid

    lazy = paid.lazy()
    counts = dict(lazy.group_by(pl.col("pay_code").cast(pl.Int64)).len().collect().iter_rows())
    total = lazy.select(pl.col("total_usd").sum()).collect().item()
    unpaid = sum(count for code, count in counts.items() if code >= 50)
    return [f"paid {total:,.2f} USD; {unpaid:,} admissions not paid", *describe_unpaid(counts)]


# ---------------------------------------------------------------------------------------------------------


def add_edit_command(commands: Commands) -> None:
    """Declare `drgsim edit`."""
    parser = add_command(
        commands,
        "edit",
        _run_edit,
        does="apply CMS's claim edits (Medicare Code Editor)",
        example="drgsim edit claims.csv edited.parquet",
        about="Adds edit_type, edits and edit_counts; the version follows from discharge_date.",
    )
    add_claims(parser)
    add_output(parser)
    parser.add_argument("--detail", action="store_true", help="also write the edits of each code (Parquet)")
    parser.add_argument("--as-typed", action="store_true", help="a code with a dot or a blank is not valid, as for CMS")


def _run_edit(options: Options) -> int:
    import polars as pl

    from drgsim.cli.frame_files import check_writable, read_admissions, write_frame
    from drgsim.editing.code_editor import edit

    check_writable(options.out)
    edited = edit(read_admissions(options), detail=options.detail, as_typed=options.as_typed)
    write_frame(edited, options.out)
    returned = (edited["edit_type"] == "PREPAYMENT").sum()
    undated = (edited["edit_type"] == "INVALID_DISCHARGE_DATE").sum()
    report_progress(options, f"edited; {returned:,} with prepayment edits, {undated:,} without a usable date")
    names = edited.select(edit=pl.col("edits").explode()).drop_nulls()
    for name, count in names.group_by("edit").len().sort("len", "edit", descending=[True, False]).rows():
        report_progress(options, f"{name}: {count:,}")
    return DONE


# ---------------------------------------------------------------------------------------------------------


def is_folder(out: str) -> bool:
    """Return whether an output is a folder: it is one, ends in a slash, or has no suffix.

    >>> is_folder("grouped/"), is_folder("grouped"), is_folder("grouped.csv"), is_folder("-")
    (True, True, False, False)
    """
    return out != STREAM and (out.endswith("/") or Path(out).is_dir() or not Path(out).suffix)


def scan_parquet(options: Options) -> pl.LazyFrame:
    """Return the claims of a Parquet file or folder, lazily.

    Raises:
        InputError: the claims are no Parquet.
    """
    from drgsim.scale.parquet_source import ParquetSource

    path = Path(options.claims)
    if (path.is_file() and path.suffix.lower() != ".parquet") or options.claims == STREAM:
        raise InputError(
            f"{options.out}: a folder is written in parts from Parquet, and {options.claims} is none. "
            "Name a .parquet or .csv file."
        )
    return ParquetSource.open(path).scan()


def watch_parts(options: Options, step: str, source: pl.LazyFrame, folder: Path, table: str) -> Progress:
    """Return the progress of a run that writes the files of a table into a folder, part by part."""
    import polars as pl

    from drgsim.scale.parquet_source import BATCH

    rows = source.select(pl.len()).collect().item()
    parts = max(1, -(-rows // BATCH))
    report_progress(options, f"{rows:,} admissions in {parts:,} parts; the same command continues an interrupted run")
    return Progress(options, step, parts, "parts", lambda: len([*folder.glob(f"{table}-*.parquet")]))


def _work_in_slices(
    options: Options, step: str, frame: pl.DataFrame, work: Callable[[pl.DataFrame], pl.DataFrame]
) -> pl.DataFrame:
    """Return the answers of `work`, which treats each row on its own, slice by slice."""
    import polars as pl

    answers = []
    with Progress(options, step, frame.height, "admissions") as progress:
        for start in range(0, max(frame.height, 1), SLICE):
            answers.append(work(frame[start : start + SLICE]))
            progress.done = min(start + SLICE, frame.height)
    return pl.concat(answers)


def _report(options: Options, lines: list[str]) -> None:
    for line in lines:
        report_progress(options, line)
