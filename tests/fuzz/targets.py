"""What fuzzing calls: each target takes bytes and returns, or raises what no input may make drgsim raise.

A target lets through the errors drgsim raises on purpose, and holds what must be true of anything that was read. The
same targets run under atheris (`python -m tests.fuzz NAME`) and, on seeds and their mutations by Hypothesis, in the
ordinary tests.
"""

from __future__ import annotations

import gzip
import json
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from functools import lru_cache
from io import BytesIO
from pathlib import Path

import polars as pl

from drgsim import TableSet, group
from drgsim.claims.layouts import LAYOUTS, map_claims
from drgsim.exceptions import DrgsimError, InputError, TableError
from drgsim.miscoding.scenarios import Scenario
from drgsim.rates.table5 import TABLE5, read_table5
from drgsim.releases.cms_data_file import read_release_facts
from drgsim.releases.cms_import import MEMBER, read_release_content
from drgsim.schema import ADMISSIONS
from drgsim.synthetic.population import Population
from drgsim.tables.formula import expand_alternatives, list_operands, parse_formula
from tests.support.releases import release

NAMES = ("a.csv", "a.txt", "a.ndjson", "a.json", "a.edi", "a.csv.gz", "a.ndjson.gz", "a.parquet")
"""File names of claims; the first byte of an input chooses one, the second a layout or none."""
CHOICES = (None, *sorted(set(LAYOUTS) - {"mimic_demo", "mimic_iv"}))


@lru_cache(maxsize=1)
def _folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="drgsim-fuzz-"))


@lru_cache(maxsize=1)
def _tables() -> TableSet:
    return TableSet.load("43.1")


def claims(data: bytes) -> None:
    """Any file of claims is read, with rows that group, or refused by a `DrgsimError`."""
    if len(data) < 2:
        return
    path, layout = _folder() / NAMES[data[0] % len(NAMES)], CHOICES[data[1] % len(CHOICES)]
    path.write_bytes(data[2:])
    try:
        read = map_claims(path, layout)
    except DrgsimError:
        return
    admissions = read.admissions
    assert all(column.name in admissions.columns for column in ADMISSIONS.columns if column.required)
    assert read.flags.is_empty() or read.flags["row"].max() < admissions.height
    status = "NON_EXEMPT" if "sdx_poa" in admissions.columns else "EXEMPT"
    grouped = group(admissions, _tables(), hospital_status=status)
    assert grouped.height == admissions.height
    assert grouped["drg"].null_count() == 0
    assert grouped["return_code"].null_count() == 0


def scenario(data: bytes) -> None:
    """Any text is a scenario that can be written, read again and checked, or refused by an `InputError`."""
    try:
        read = Scenario.loads(data)
    except InputError:
        return
    again = Scenario.loads(read.dumps())
    assert again.resolved() == read.resolved()
    try:
        read.check(_tables())
    except InputError:
        return


def population(data: bytes) -> None:
    """Any text is a population or refused by an `InputError`."""
    path = _folder() / "a.toml"
    path.write_bytes(data)
    try:
        Population.load(path)
    except InputError:
        return


def wire(data: bytes) -> None:
    """Any bytes are a grouper release's data or refused by a `TableError`."""
    try:
        facts = read_release_facts(data, ignore_unknown_fields=True)
    except TableError:
        return
    assert facts.versions
    assert facts.diagnoses["place"].max() < len(facts.versions)


def archive(data: bytes) -> None:
    """Any bytes are an archive with a data file, a data file, or refused by a `TableError`."""
    path = _folder() / "a.jar"
    path.write_bytes(data)
    try:
        read_release_content(path)
    except TableError:
        return


def table5(data: bytes) -> None:
    """Any bytes are a Table 5 or refused by a `TableError`."""
    path = _folder() / "table5.txt"
    path.write_bytes(data)
    try:
        read = read_table5(path)
    except TableError:
        return
    assert read.schema == pl.Schema(TABLE5)
    assert read.null_count().row(0) == (0,) * len(TABLE5)


def formula(data: bytes) -> None:
    """Any text is a formula whose alternatives name its operands only, or refused by a `TableError`."""
    text = data.decode("utf-8", "replace")
    try:
        node = parse_formula(text)
        names = {name for alternative in expand_alternatives(node) for name, _ in alternative}
    except TableError:
        return
    assert names <= set(list_operands(node))


TARGETS: Mapping[str, Callable[[bytes], None]] = {
    "claims": claims,
    "scenario": scenario,
    "population": population,
    "wire": wire,
    "archive": archive,
    "table5": table5,
    "formula": formula,
}

# ---------------------------------------------------------------------------------------------------------

_HEAD = "admission_id,age,sex,discharge_status"
_ISA = (
    "ISA*00*          *00*          *ZZ*A              *ZZ*B              *240101*0000*^*00501*000000001*0*T*:~"
    "ST*837*0001~HL*1**20*1~NM1*85*2*H*****XX*1~HL*2*1*22*0~DMG*D8*19500101*F~"
    "CLM*7*100***11:A:1~DTP*434*RD8*20240101-20240103~CL1*1*1*01~HI*ABK:K810:::::::Y~HI*BBQ:0FT44ZZ:D8:20240101~"
    "SE*10*0001~IEA*0*000000001~"
)
_EOB = {
    "resourceType": "ExplanationOfBenefit",
    "id": "7",
    "type": {"coding": [{"code": "60"}]},
    "diagnosis": [
        {
            "sequence": 1,
            "diagnosisCodeableConcept": {"coding": [{"code": "K810", "system": "http://hl7.org/fhir/sid/icd-10"}]},
            "type": [{"coding": [{"code": "principal"}]}],
        }
    ],
    "total": [{"amount": {"value": 100.5}, "category": {"coding": [{"code": "submitted"}]}}],
}
_JSON = {
    "claimid": "7",
    "principal_dx": {"code": "K81.0", "poa": "Y"},
    "secondary_dxs": [{"code": "I10", "poa": "Y"}],
    "inpatient_pxs": [{"code": "0FT44ZZ"}],
    "patient": {"age": 71, "sex": "F"},
    "thru_date": "2024-01-03",
}
_TEXTS = {
    "a.csv": (
        f"{_HEAD},pdx,sdx,sdx_poa,procedures\n7,71,F,1,K81.0,I10;E11.9,Y;N,0FT44ZZ\n8,x,M,20,A419,,,\n",
        f"{_HEAD},dx1,dx2,poa1,poa2,pr1,los_days,discharge_date\n7,71,F,1,K810,I10,Y,N,0FT44ZZ,3,2026-05-01\n",
        "claim_id,code,type,sequence,poa\n7,I10,dx,2,Y\n7,K810,dx,1,Y\n7,0FT44ZZ,pr,1,\n",
        "KEY_NIS,AGE,FEMALE,DISPUNIFORM,I10_DX1,I10_DX2,I10_PR1,YEAR,DQTR\n12,71,1,20,K810,I10,0FT44ZZ,2023,4\n",
        "hadm_id,age,sex,discharge_location,dx1,dx2\n1,71,F,HOME,K810,I10\n",
    ),
    "a.txt": ("CLM_ID|PRNCPAL_DGNS_CD|ICD_DGNS_CD1|CLM_POA_IND_SW1|ICD_DGNS_CD2|CLM_LINE_NUM\n7|K810|K810|Y|I10|1\n",),
    "a.ndjson": (json.dumps(_EOB) + "\n", json.dumps(_JSON) + "\n"),
    "a.json": (json.dumps([_JSON, _JSON]), json.dumps({"resourceType": "Bundle", "entry": [{"resource": _EOB}]})),
    "a.edi": (_ISA,),
}


def _parquet() -> bytes:
    frame = pl.DataFrame(
        {
            "admission_id": [7],
            "age": [71],
            "sex": ["F"],
            "discharge_status": [1],
            "pdx": ["K810"],
            "sdx": [["I10"]],
            "sdx_poa": [["Y"]],
            "procedures": [["0FT44ZZ"]],
        }
    )
    file = BytesIO()
    frame.write_parquet(file)
    return file.getvalue()


def _zipped(files: Mapping[str, bytes]) -> bytes:
    file = BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return file.getvalue()


def _claim_seeds() -> list[bytes]:
    files = [(name, text.encode()) for name, texts in _TEXTS.items() for text in texts]
    files += [("a.csv.gz", gzip.compress(_TEXTS["a.csv"][0].encode(), mtime=0)), ("a.parquet", _parquet())]
    return [bytes([NAMES.index(name), layout]) + content for name, content in files for layout in (0,)]


def seeds(name: str) -> list[bytes]:
    """Return sound inputs of a target, to begin from."""
    folder = _tables().folder
    if name == "claims":
        return _claim_seeds()
    if name == "scenario":
        return [path.read_bytes() for path in sorted((folder / "scenarios").glob("*.toml"))]
    if name == "population":
        return [(folder / "population/medicare_ffs.toml").read_bytes()]
    if name == "wire":
        return [release()]
    if name == "archive":
        inner = _zipped({MEMBER: b"data"})
        return [inner, _zipped({"a.jar": inner, "b.txt": b"b"}), b"data"]
    if name == "table5":
        head = "MS-DRG\tFY 2026 Final Post-Acute DRG\tFY 2026 Final Special Pay DRG\tMDC\tTYPE\tTitle\tWeights\t"
        return [f"Table 5\n{head}Geometric mean LOS\tArithmetic mean LOS\n1\tNo\tNo\tPRE\tSURG\tX\t27\t1\t2\n".encode()]
    return [text.encode() for text in (*_tables().formulas["formula"].unique().sort().head(40), "a & (b | ~c)")]
