"""Claims held against the Medicare Code Editor, as CMS edits them before it groups them.

Its modules:

    code_editor     edit(): the editor's checks in their order
    edit_names      the edits, in the order in which they are reported
    edit_rules      the tables of all dates as arrays
    encoded_claims  claims as integers
    edit_reports    edits counted by claim, and those of each code
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from drgsim._lazy import attach

if TYPE_CHECKING:
    from drgsim.editing.code_editor import edit as edit
    from drgsim.editing.edit_names import Edit as Edit
    from drgsim.editing.edit_names import list_edits as list_edits

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "Edit": "editing.edit_names",
        "edit": "editing.code_editor",
        "list_edits": "editing.edit_names",
    },
)
