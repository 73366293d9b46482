"""Published facts to table folders.

Its modules:

    cms_import        import_release(): a CMS grouper release to a table folder
    cms_data_file     the data file of a release, decoded
    protobuf_wire     Protocol Buffers wire format, read strictly
    version_diff      table_diff(): two grouper versions compared
    verification      verify(): a table folder against its manifest and rules
    build_grouper     published grouper facts to the project's tables
    build_payment     published payment facts to the project's tables
    build_population  published population facts to the project's tables
    build_edits       published claim edits and code conversions to the project's tables
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from drgsim._lazy import attach

if TYPE_CHECKING:
    from drgsim.releases.build_grouper import REPORTING as REPORTING
    from drgsim.releases.cms_import import import_release as import_release
    from drgsim.releases.verification import verify as verify
    from drgsim.releases.version_diff import table_diff as table_diff

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "REPORTING": "releases.build_grouper",
        "import_release": "releases.cms_import",
        "table_diff": "releases.version_diff",
        "verify": "releases.verification",
    },
)
