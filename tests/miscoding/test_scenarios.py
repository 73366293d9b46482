"""Scenario files: reports of mistakes, written and read again; and a user's own error model."""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from drgsim import InputError
from drgsim.miscoding.diagnosis_errors import SdxAddUnsupported, SdxOmit, SeverityUpgrade
from drgsim.miscoding.error_models import ErrorModel, Evidence, Rate, Study, Where
from drgsim.miscoding.error_sites import Options, Sites
from drgsim.miscoding.procedure_errors import ProcedureSubstitute
from drgsim.miscoding.scenarios import Finding, Scenario, kinds, presets
from drgsim.numerics.arrays import Int64Array
from drgsim.rebilling.baseline import Baseline
from drgsim.simulation.simulator import simulate
from tests.support.rebilling import HOSPITALS, by_hand, generated, priced, rates, tables

START = 'title = "a"\n\n[errors.missed]\nkind = "sdx_omit"\n'


class LateralitySwapped(ErrorModel):
    """A user's error model: left is billed as right."""

    kind: Literal["laterality"] = "laterality"
    rate: Rate = 0.0
    USUAL_SIGN: ClassVar[Literal["up", "down", "mixed"]] = "mixed"

    def sites(self, baseline: Baseline) -> Sites:
        book = baseline.rules.diagnosis_book
        title = baseline.tables.diagnosis_descriptions()
        right = title.with_columns(pl.col("description").str.replace("left", "right"))
        pairs = title.join(right, on="description", suffix="_left").filter(pl.col("code") != pl.col("code_left"))
        pairs = pairs.filter(pl.col("code").is_in(baseline.tables.diagnoses["code"].implode()))
        left, other = (book.numbers(pairs[name]) for name in ("code_left", "code"))
        group = np.full(len(book.codes) + 1, -1, np.int64)
        group[left] = np.arange(len(left))
        at: Int64Array = np.flatnonzero(group[baseline.encoded.sdx] >= 0)
        options = Options.of(np.arange(len(other) + 1), other)
        return Sites.of_sdx(baseline, at, self.rate, options, group=group[baseline.encoded.sdx[at]])


def rejected(text: str | bytes) -> str:
    with pytest.raises(InputError) as caught:
        Scenario.loads(text, file="mine.toml")
    return str(caught.value)


# ------------------------------------------------------------------------------------ mistakes


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (START + "cc = 0.1\nmmc = 0.2", "mine.toml, line 6: errors.missed.mmc is 0.2: "),
        (START + "cc = 1.4", "line 5: errors.missed.cc is 1.4: Input should be less than or equal to 1"),
        (START + "cc = -0.1", "line 5: errors.missed.cc is -0.1: "),
        (START + "cc = nan", "line 5: errors.missed.cc is nan: "),
        (START + "cc = inf", "line 5: errors.missed.cc is inf: "),
        (START + "cc = 1e999", "line 5: errors.missed.cc is inf: "),
        (START + "cc = 1" + 400 * "0", "mine.toml: a whole number of more than 64 bits"),
        (START + "cc = true", "line 5: errors.missed.cc is True: "),
        (START + 'cc = "0.1"', "line 5: errors.missed.cc is '0.1': "),
        (START + "hospital_sd = nan", "line 5: errors.missed.hospital_sd is nan: "),
        (START + "hospital_sd = 6", "line 5: errors.missed.hospital_sd is 6: "),
        (START + "where = { mcd = [4] }", "line 5: errors.missed.where.mcd is [4]: "),
        (START + "\n[errors.missed.where]\nmcd = [4]", "line 7: errors.missed.where.mcd is [4]: "),
        (START + "where = { age = [80, 20] }", "line 5: errors.missed.where.age is [80, 20]: "),
        (START + "where = { age = [80] }", "line 5: errors.missed.where.age.1 is None: Field required"),
        (START + 'name = ["x"]', "line 5: errors.missed.name is ['x']: "),
        (START + 'evidence = [{ status = "GUESS" }]', "line 5: errors.missed.evidence.0.status is 'GUESS': "),
        (START + "study = { events = 3, of = 0 }", "line 5: errors.missed.study.of is 0: "),
        ('[errors.x]\nkind = "sdx_omitt"', "line 2: errors.x.kind is 'sdx_omitt': no such kind of error. Did you mean"),
        ("[errors.x]\nkind = 3", "line 2: errors.x.kind is 3: no such kind of error. Known: demographics, "),
        ('[errors.x]\nkind = ["sdx_omit"]', "line 2: errors.x.kind is ['sdx_omit']: no such kind"),
        ("[errors.x]\ncc = 0.1", "line 1: errors.x.kind is None: no such kind"),
        ('[errors.x]\nkind = "procedure_substitute"\naxes = [9]', "line 3: errors.x.axes.0 is 9: "),
        ('[errors.x]\nkind = "procedure_substitute"\naxes = []', "line 3: errors.x.axes is []: "),
        ('[errors.x]\nkind = "strategic_upcode"\nscale_usd = 0', "line 3: errors.x.scale_usd is 0: "),
        ('[errors.x]\nkind = "discharge_status"\nbecomes = 100', "line 3: errors.x.becomes is 100: "),
        ('[errors."a.b"]\nkind = "sdx_omit"\ncc = 3', "line 3: errors.a.b.cc is 3: "),
        ('errors.x.kind = "sdx_omit"\nerrors.x.cc = 3', "line 2: errors.x.cc is 3: "),
        ('errors = { x = { kind = "sdx_omit", cc = 3 } }', "line 1: errors.x.cc is 3: "),
        ("[errors]\nx = 3", "line 2: errors.x is 3: expected a table [errors.x]"),
        ('[[errors]]\nkind = "sdx_omit"', "line 1: errors is [{'kind': 'sdx_omit'}]: expected tables [errors.NAME]"),
        (START + '[errors.other]\nkind = "sdx_omit"\nname = "missed"', "line 7: errors.other.name is 'missed': "),
        ("titel = 'a'", "line 1: title is None: Field required"),
        ("title = 'a'\nerors = 1", "line 2: erors is 1: "),
        ('title = "a"\n[[findings]]\nmeasure = "x"\nvalue = nan\nsource = "a paper"', "line 4: findings.0.value"),
        ("title = 'a'\n[errors.x", "mine.toml: not a TOML file: Expected ']' at the end of a table"),
        ("title = 'a'\ntitle = 'b'", "mine.toml: not a TOML file: Cannot overwrite"),
        (b"title = '\xff'", "mine.toml: not a TOML file: not UTF-8 text at byte 9"),
        ("title = " + "9" * 5000, "mine.toml: not a TOML file: Exceeds the limit"),
        ("title = " + "[" * 3000 + "]" * 3000, "mine.toml: nests deeper than 32"),
        ("[" + ".".join(["a"] * 5000) + "]", "line 1 has more than 10,000 characters"),
        (START + "where." + ".".join(["a"] * 3000) + " = 1", "mine.toml: nests deeper than 32"),
    ],
    ids=range(42),
)  # fmt: skip
def test_a_mistake_is_reported_with_line_key_and_value(text, expected: str):
    message = rejected(text)
    assert message.startswith("mine.toml")
    assert expected in message
    assert len(message) < 2000


def test_the_line_is_that_of_the_right_table():
    """The same key is in three tables and a comment; only one value is wrong."""
    text = START + 'cc = 0.5\n# cc = 7\n[errors.second]\nkind = "sdx_omit"\n# cc = 7\ncc = 7\n[errors.third]\n' \
        'kind = "sdx_omit"\ncc = 0.7\n'  # fmt: skip
    assert "line 10: errors.second.cc is 7: " in rejected(text)
    assert text.splitlines()[9] == "cc = 7"


def test_all_mistakes_are_reported_at_once():
    message = rejected(START + 'cc = 2\nmcc = 3\n[errors.x]\nkind = "nothing"')
    assert [found in message for found in ("line 5", "line 6", "line 8")] == [True] * 3


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('where = { codes = ["Q99.99"] }', "errors.missed.where.codes is 'Q99.99': no code of version 43.1 begins so"),
        ("where = { drg = [1000] }", "errors.missed.where.drg is 1000: no DRG of version 43.1"),
        ("where = { drg = [417, 43] }", "errors.missed.where.drg is 43: no DRG of version 43.1"),
        (f"where = {{ drg = [{10**18}] }}", f"where.drg is {10**18}: no DRG of version 43.1"),
        ("where = { mdc = [26] }", "errors.missed.where.mdc is 26: no MDC of version 43.1"),
    ],
)
def test_what_the_version_lacks_is_reported(body: str, expected: str, tmp_path: Path):
    file = tmp_path / "mine.toml"
    file.write_text(START + "cc = 0.1\n" + body, "utf-8")
    scenario = Scenario.load(file)
    with pytest.raises(InputError, match=re.escape(expected)) as caught:
        scenario.check(tables())
    assert str(file) in str(caught.value)
    hospitals, admissions = generated(600)
    with pytest.raises(InputError, match=re.escape(expected)):
        simulate(admissions, scenario, tables=tables(), hospitals=hospitals, rates=rates(), seed=1, replicates=1)


def test_codes_and_outcomes_are_checked_against_the_version():
    older, newer = set(tables("40.0").diagnoses["code"]), set(tables("43.1").diagnoses["code"])
    added = sorted(newer - older)[0]
    scenario = Scenario(title="t", errors=(SdxAddUnsupported(mcc=0.1, codes=("J96.01", added)),))
    scenario.check(tables("43.1"))
    with pytest.raises(InputError, match=f"codes is '{added}': no diagnosis of version 40.0"):
        scenario.check(tables("40.0"))
    with pytest.raises(InputError, match=r"to is 'Q99\.99': no code of version 43.1 begins so"):
        Scenario(title="t", errors=(SeverityUpgrade(rate=0.1, to=("Q99.99",)),)).check(tables())
    Scenario(title="t", errors=(SdxOmit(cc=0.1, where=Where(codes=(" i50.", "0sr"), drg=(417,), mdc=(0, 25))),)).check(
        tables()
    )


def test_missing_files(tmp_path: Path):
    with pytest.raises(InputError, match=r"no scenario 'illustraton'\. Did you mean 'illustration'\?"):
        Scenario.load("illustraton")
    with pytest.raises(InputError, match=r"absent\.toml: cannot be read \(No such file"):
        Scenario.load(tmp_path / "absent.toml")
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(InputError, match=r"folder\.toml: cannot be read \(Is a directory"):
        Scenario.load(tmp_path / "folder.toml")


def test_rates_are_checked_in_python_too():
    for wrong in (1.1, -0.1, float("nan"), float("inf"), True, "0.1"):
        with pytest.raises(ValidationError, match="cc"):
            SdxOmit(cc=wrong)
    with pytest.raises(ValidationError, match="Extra inputs"):
        SdxOmit(ccs=0.1)
    with pytest.raises(ValidationError, match="at least 1 item"):
        ProcedureSubstitute(rate=0.1, axes=())
    with pytest.raises(ValidationError, match="frozen"):
        SdxOmit(cc=0.1).cc = 0.2


# ------------------------------------------------------------------------------------ values


@pytest.fixture
def scenario() -> Scenario:
    return Scenario(
        title="Missed and added",
        about="quotes \" and\nlines",
        evidence=(Evidence(population="p", period="2009", source="s", status="READ"),),
        findings=(Finding(measure="net_share", value=-0.01, standard_error=0.002, fitted=True, source="a paper"),),
        errors=(
            SdxOmit(name="missed", cc=0.1, mcc=0.2, study=Study(events=3, of=200), hospital_sd=0.5,
                    where=Where(mdc=(4, 5), age=(65, 99), columns={"payer": ("A", "B")}, decisive=True)),
            SdxAddUnsupported(name="added", mcc=0.5, codes=("J96.01",)),
            SeverityUpgrade(rate=0.04, coder_sd=0.3, guarded=False),
        ),
    )  # fmt: skip


def test_rates_are_scaled(scenario: Scenario):
    half = scenario.scaled(0.5)
    assert [(e.cc, e.mcc, e.other) for e in half.errors[:1]] == [(0.05, 0.1, 0.0)]
    assert (half.errors[1].mcc, half.errors[2].rate) == (0.25, 0.02)
    assert half.errors[0].where == scenario.errors[0].where
    assert scenario.scaled(1).digest == scenario.digest
    assert scenario.errors[0].cc == 0.1  # the first stays as it was
    with pytest.raises(InputError, match=r"a rate of 0\.5 times 2\.5 is above 1"):
        scenario.scaled(2.5)
    for wrong in (-1.0, float("nan"), float("inf")):
        with pytest.raises(InputError, match="the factor is"):
            scenario.scaled(wrong)


def test_rates_are_shifted_by_name(scenario: Scenario):
    moved = scenario.shifted({"added": np.log(3)})
    assert moved.errors[1].mcc == pytest.approx(0.75)  # odds 1 to 1 become 3 to 1
    assert moved.errors[1].cc == 0.0
    assert moved.errors[0] == scenario.errors[0]
    with pytest.raises(InputError, match=r"'aded'\. Did you mean 'added'"):
        scenario.shifted({"aded": 1.0})
    for wrong in (float("nan"), float("inf")):
        with pytest.raises(InputError, match="the shift is"):
            scenario.shifted({"added": wrong})
    assert scenario.shifted({"added": -1e9}).errors[1].mcc == 0.0


def test_a_scenario_of_some_errors(scenario: Scenario):
    some = scenario.only(["severity_upgrade", "missed"])
    assert [error.label for error in some.errors] == ["missed", "severity_upgrade"]
    with pytest.raises(InputError, match=r"'mised'\. Did you mean 'missed'"):
        scenario.only(["mised"])


def test_scenarios_are_added(scenario: Scenario):
    more = Scenario(title="More", errors=(SdxOmit(other=0.2),))
    both = scenario + more
    assert [error.label for error in both.errors] == ["missed", "added", "severity_upgrade", "sdx_omit"]
    assert (both.title, both.findings) == ("Missed and added + More", ())
    with pytest.raises(InputError, match="both scenarios have errors called added, missed"):
        scenario + scenario.only(["missed", "added"])
    with pytest.raises(ValidationError, match="errors of one name: sdx_omit"):
        Scenario(title="t", errors=(SdxOmit(), SdxOmit()))
    with pytest.raises(InputError, match="errors of one name: sdx_omit"):
        more.with_errors([SdxOmit(), SdxOmit()])


def test_a_written_scenario_is_read_again(scenario: Scenario, tmp_path: Path):
    again = Scenario.loads(scenario.dumps())
    assert again.resolved() == scenario.resolved()
    assert [error.label for error in again.errors] == [error.label for error in scenario.errors]
    assert again.errors == scenario.errors
    assert again.digest == scenario.digest
    assert Scenario.loads(again.dumps()).dumps() == again.dumps()
    file = tmp_path / "x.toml"
    file.write_text(scenario.dumps(), "utf-8")
    assert Scenario.load(file).digest == scenario.digest


def test_the_digest_depends_only_on_the_errors(scenario: Scenario):
    message = scenario.model_copy(update={"title": "x", "about": "y", "evidence": (), "findings": ()})
    assert message.digest == scenario.digest
    bare = scenario.with_errors([scenario.errors[0].model_copy(update={"study": None}), *scenario.errors[1:]])
    assert bare.digest == scenario.digest
    others = {
        scenario.scaled(0.999).digest,
        scenario.only(["missed", "added"]).digest,
        scenario.with_errors(scenario.errors[::-1]).digest,
        scenario.with_errors([e.model_copy(update={"hospital_sd": 0.51}) for e in scenario.errors]).digest,
        scenario.with_errors([scenario.errors[0].model_copy(update={"name": "other"}), *scenario.errors[1:]]).digest,
        scenario.with_errors([scenario.errors[0].model_copy(update={"where": Where()}), *scenario.errors[1:]]).digest,
        scenario.with_errors([e.model_copy(update={"guarded": True}) for e in scenario.errors]).digest,
    }
    assert len(others | {scenario.digest}) == 8
    assert len(scenario.digest) == 64


@pytest.mark.parametrize("name", presets())
def test_every_shipped_scenario_can_be_used(name: str):
    """It is read, fits the version, runs, and gives the source of each rate."""
    shipped = Scenario.load(name)
    shipped.check(tables())
    assert Scenario.loads(shipped.dumps()).digest == shipped.digest
    for error in shipped.errors:
        assert error.evidence or shipped.evidence, f"{name}: {error.label} has no source"
        for message in (*error.evidence, *shipped.evidence):
            assert message.population
            assert message.period
            assert len(message.source) > 5
    hospitals, admissions = generated(600)
    result = simulate(admissions, shipped, tables=tables(), hospitals=hospitals, rates=rates(), seed=1, replicates=2)
    assert result.error_counts["error"].to_list() == [error.label for error in shipped.errors]
    assert (result.totals["drg_changes"] <= result.totals["code_changes"]).all()


# ------------------------------------------------------------------------------------ an error of one's own


def test_a_users_error_model_works_from_a_file():
    assert kinds()["laterality"] is LateralitySwapped
    text = (
        'title = "Sides"\n[errors.sides]\nkind = "laterality"\nrate = 0.6\nhospital_sd = 0.4\nwhere = { age = [0, 90] }'
    )
    scenario = Scenario.loads(text)
    assert "line 4: errors.sides.rate is 6" in rejected(text.replace("0.6", "6"))
    assert Scenario.loads(scenario.dumps()).digest == scenario.digest
    hospitals, admissions = generated(600)
    result = simulate(admissions, scenario, tables=tables(), hospitals=hospitals, rates=rates(), seed=1, replicates=8,
                      ledger=True)  # fmt: skip
    assert result.ledger is not None
    assert result.ledger.height > 30
    title = dict(tables().diagnosis_descriptions().select("code", "description").rows())
    for before, after in result.ledger.select("code_before", "code_after").rows():
        assert title[before].replace("left", "right", 1) == title[after]
    truth = priced(admissions, hospitals, rates())["cents"].sum()
    for replicate in range(8):
        mine = result.ledger.filter(pl.col("replicate") == replicate)
        billed = priced(by_hand(admissions, mine), hospitals, rates())
        others = admissions.filter(~pl.col("admission_id").is_in(mine["admission_id"].implode()))
        whole = billed["cents"].sum() + priced(others, hospitals, rates())["cents"].sum()
        assert result.totals["net"][replicate] == whole - truth


def test_the_hospitals_of_the_tests_are_distinct():
    """The hospitals by which the tests price claims occur once each."""
    assert HOSPITALS["hospital_id"].is_unique().all()
