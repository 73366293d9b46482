"""Words for where a patient went after discharge: `find_status(text)`.

Source: NUBC, patient discharge status (FL 17).
"""

from __future__ import annotations

import re

_RULES: tuple[tuple[str, str], ...] = (
    ("20", r"expired|died|deceased|death|dead"),
    ("07", r"ama|against medical advice|left without"),
    ("30", r"still (a )?patient|inhouse|in house"),
    ("51", r"hospice.*(facility|inpatient|medical|snf)|(facility|inpatient).*hospice"),
    ("50", r"hospice"),
    ("06", r"home health|hha|home care|home w(ith)? ?/? ?hh|hhs"),
    ("63", r"ltc?ac?h|long term acute|long term care hospital"),
    ("62", r"irf|rehab(ilitation)?.*|acute rehab"),
    ("65", r"psych(iatric)?.*"),
    ("66", r"cah|critical access"),
    ("05", r"cancer|children"),
    ("43", r"federal|va hospital|veterans"),
    ("61", r"swing"),
    ("64", r"medicaid (only )?nursing|nursing facility.*medicaid"),
    ("03", r"snf|skilled.*"),
    ("04", r"icf|intermediate|custodial|assisted living|nursing home|ltc|long term care"),
    ("21", r"jail|prison|court|law enforcement"),
    ("02", r"short term.*|acute( care)?( hospital)?|(another|other|transfer.*) (acute|hospital).*|transfer(red)?"),
    ("01", r"home|self ?care|routine.*|discharged? home.*|home (or|and|/)? ?self ?care|home routine"),
)


def find_status(text: str) -> str | None:
    """Return the UB-04 status that words stand for; None where they are not known.

    >>> find_status("Skilled Nursing Facility"), find_status("HOME HEALTH"), find_status("Home"), find_status("Blue")
    ('03', '06', '01', None)
    """
    bare = " ".join(re.findall(r"[a-z/]+", text.lower()))
    return next((status for status, words in _RULES if re.search(rf"(?:^|\s)(?:{words})(?:$|\s)", bare)), None)
