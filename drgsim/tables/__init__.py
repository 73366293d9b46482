"""The data of a grouper version: its codes and formulas.

Its modules:

    manifest         the table folder, whose files are read only if their checksum agrees
    table_set        TableSet, versions(), version_for()
    formula          the DRG formula language
    drg_families     which DRG families split by CC or MCC
    titles           with_titles(): titles beside numbers and codes
    codebook         code strings to integers
    encoding         admissions as integers
    unknown_codes    codes that are none of a version, by what they look like
    code_limits      the sex, age, principal and POA limits of each code
    national_facts   tables that populations and coding errors share
    edit_tables      valid codes, flags and limits of claim edits, all dates
    code_conversion  convert_codes(): codes of another version
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from drgsim._lazy import attach

if TYPE_CHECKING:
    from drgsim.tables.code_conversion import convert_codes as convert_codes
    from drgsim.tables.drg_families import list_families as list_families
    from drgsim.tables.manifest import read_manifest as read_manifest
    from drgsim.tables.manifest import seal as seal
    from drgsim.tables.manifest import table_folder as table_folder
    from drgsim.tables.table_set import TableSet as TableSet
    from drgsim.tables.table_set import version_for as version_for
    from drgsim.tables.table_set import versions as versions
    from drgsim.tables.titles import with_titles as with_titles

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "TableSet": "tables.table_set",
        "convert_codes": "tables.code_conversion",
        "list_families": "tables.drg_families",
        "read_manifest": "tables.manifest",
        "seal": "tables.manifest",
        "table_folder": "tables.manifest",
        "version_for": "tables.table_set",
        "versions": "tables.table_set",
        "with_titles": "tables.titles",
    },
)
