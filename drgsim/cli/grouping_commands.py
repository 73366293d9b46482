"""Commands that make, group and price admissions: generate, group, price."""

from __future__ import annotations

import polars as pl

from drgsim.cli.console import DONE, Commands, Options, add_command, report_progress, whole_number_from
from drgsim.cli.frame_files import STREAM, check_writable, read_frame, write_frame
from drgsim.cli.shared_arguments import (
    GROUPED_CLAIMS,
    add_claims,
    add_contracts,
    add_fiscal_years,
    add_hospital_status,
    add_output,
    add_seed,
    add_version,
    load_rates,
    read_admissions,
)
from drgsim.grouping.grouper import group
from drgsim.pricing.pricer import price
from drgsim.schema import HOSPITALS, NUMBERS
from drgsim.synthetic.generator import generate
from drgsim.synthetic.population import populations
from drgsim.tables.table_set import TableSet


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
    parser.add_argument("--population", default="medicare_ffs", help=f"{', '.join(populations())}, or a TOML file")
    add_version(parser)
    add_seed(parser)


def _run_generate(options: Options) -> int:
    for path in (options.out, options.hospitals):
        check_writable(path or STREAM)
    tables = TableSet.load(options.version)
    hospitals, admissions = generate(options.n, seed=options.seed, tables=tables, population=options.population)
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
        example="drgsim group claims.csv grouped.parquet --version 43.1",
        about="Adds drg, mdc, base_drg, drg_type, severity, initial_drg, initial_mdc, hac_count and return_code.",
    )
    add_claims(parser)
    add_output(parser)
    parser.add_argument("--version", help="grouper version, or a column of versions (default: by discharge_date)")
    parser.add_argument("--detail", action="store_true", help="also write CMS's reports of each code")
    add_hospital_status(parser)


def _run_group(options: Options) -> int:
    check_writable(options.out)
    admissions, version = read_admissions(options), options.version
    if version in admissions.columns and admissions.schema[version] in NUMBERS:
        admissions = admissions.with_columns(pl.col(version).cast(pl.String))
    grouped = group(admissions, version=version, hospital_status=options.hospital_status, detail=options.detail)
    write_frame(grouped, options.out)
    report_progress(options, f"grouped; {(grouped['return_code'] != 'OK').sum():,} ungroupable")
    return DONE


# ---------------------------------------------------------------------------------------------------------


def add_price_command(commands: Commands) -> None:
    """Declare `drgsim price`."""
    parser = add_command(
        commands,
        "price",
        _run_price,
        does="price grouped admissions",
        example="drgsim group claims.csv - | drgsim price - paid.csv --hospitals hospitals.csv",
        about="Adds each component of the IPPS payment, total_usd and pay_code.",
    )
    add_claims(parser, GROUPED_CLAIMS)
    add_output(parser)
    parser.add_argument("--hospitals", required=True, metavar="FILE", help="provider inputs (.parquet, .csv)")
    add_fiscal_years(parser)
    add_contracts(parser)


def _run_price(options: Options) -> int:
    check_writable(options.out)
    paid = price(read_admissions(options), read_frame(options.hospitals, HOSPITALS), load_rates(options))
    write_frame(paid, options.out)
    report_progress(
        options, f"paid {paid['total_usd'].sum():,.2f} USD; {(paid['pay_code'] >= 50).sum():,} admissions not paid"
    )
    return DONE
