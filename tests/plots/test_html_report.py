"""The report shows the result, hides small hospitals, runs no foreign script, and opens anywhere."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import polars as pl
import pytest

from drgsim import TableSet
from drgsim.exceptions import InputError, SchemaError, StorageError
from drgsim.plots.html_report import report
from drgsim.simulation.results import Simulation
from tests.support.made import made, with_claims

EVIL = "<script>document.title = 'run'</script>"


class Tables(HTMLParser):
    """Every table of a page as lists of texts, by its label; and every attribute that could fetch something."""

    def __init__(self) -> None:
        super().__init__()
        self.tables: dict[str, list[list[str]]] = {}
        self.fetched: list[str] = []
        self.scripts = 0
        self._label = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.fetched += [named[name] or "" for name in ("src", "href", "srcset", "action") if name in named]
        self.scripts += tag == "script"
        if named.get("role") == "region":
            self._label = named["aria-label"] or ""
            self.tables[self._label] = []
        elif tag == "tr":
            self.tables[self._label].append([])
        elif tag in ("td", "th"):
            self.tables[self._label][-1].append("")

    def handle_data(self, data: str) -> None:
        if self.lasttag in ("td", "button") and self.tables.get(self._label, [[]])[-1:]:
            row = self.tables[self._label][-1]
            if row:
                row[-1] += data


def parsed(text: str) -> Tables:
    found = Tables()
    found.feed(text)
    return found


def table(found: Tables, start: str) -> list[list[str]]:
    """The rows of the table whose caption begins so, without its header."""
    return next(rows for label, rows in found.tables.items() if label.startswith(start))[1:]


def crowded(counts: dict[str, int]) -> Simulation:
    """The simulation by hand with more admissions: so many a hospital, none of them billed otherwise."""
    whole = made()
    more = [whole.admissions[[2] * count].with_columns(hospital_id=pl.lit(name)) for name, count in counts.items()]
    first = whole.admissions.with_columns(hospital_id=pl.lit("A"))
    return with_claims(whole, admissions=pl.concat([first, *more]))


def test_shows_the_numbers_of_the_result(tmp_path: Path):
    path = report(made(), tmp_path / "deep" / "report.html", tables=TableSet.load("43.1"))
    text = path.read_text("utf-8")
    # Means of the replicates by hand: net -16,000 / 3, overpaid 10,000 / 3, underpaid 26,000 / 3 USD.
    for amount in ("\N{MINUS SIGN}5.33 thousand USD", "3.33 thousand USD", "8.67 thousand USD"):
        assert f"<b>{amount}</b>" in text
    assert "run 0123456789abcdef" in text
    assert "6 admissions in 2 hospitals" in text
    assert "Reckoned on paper." in text
    assert "no estimate of errors that did happen, and none of fraud" in text
    found = parsed(text)
    errors = table(found, "USD per replicate; made and refused")
    assert [row[:2] for row in errors] == [["missed", "-8,667"], ["added MCC", "3,333"], ["total", "-5,333"]]
    assert errors[0][5:] == ["2.0", "0.3"]  # 6 made and 7 drawn in 3 replicates
    moved = table(found, "The 3 transitions of 3")
    assert moved[0][:2] + moved[0][3:] == ["871", "872", "1.3", "-6,667"]
    assert moved[0][2].startswith("Septicemia")
    measures = {row[0]: row for row in table(found, "Low to high")}
    assert measures["net"][2] == "-5,333"
    assert measures["admissions with another DRG"][1:3] == ["% of admissions", "44.44"]  # 8 / 3 of 6


def test_the_same_result_gives_the_same_file(tmp_path: Path):
    one, other = (report(made(), tmp_path / name).read_bytes() for name in ("one.html", "other.html"))
    assert one == other


def test_needs_nothing_from_elsewhere(tmp_path: Path):
    found = parsed(report(made(), tmp_path / "report.html").read_text("utf-8"))
    assert len(found.fetched) == 5
    assert all(source.startswith("data:image/png;base64,") for source in found.fetched)
    assert "url(" not in (tmp_path / "report.html").read_text("utf-8")


def test_text_from_outside_is_text(tmp_path: Path):
    evil = made(title=EVIL, hospitals=(EVIL,) * 6)
    evil = with_claims(evil, admissions=evil.admissions[[0, 1, 2, 3, 4, 5] * 2])
    evil = replace(evil, run_id=EVIL, priced_by=EVIL)
    validity = pl.DataFrame(
        {"subject": [EVIL], "measure": ["m"], "generated": [1.0], "target": [2.0], "source": [f'"{EVIL}']}
    )
    text = report(evil, tmp_path / "report.html", validity=validity).read_text("utf-8")
    assert text.count("<script") == 1
    assert parsed(text).scripts == 1
    assert text.count("&lt;script&gt;document.title") >= 6


def test_small_hospitals_are_not_shown(tmp_path: Path):
    text = report(crowded({"B": 10, "C": 9, "D": 30}), tmp_path / "report.html").read_text("utf-8")
    # A has 6, B 10, C 9: none is shown.
    rows = table(parsed(text), "1 hospitals")
    assert [row[:2] for row in rows] == [["D", "30"]]
    assert "3 with fewer than 11 admissions" in text
    assert rows[0][-1] == "under 11"  # of its bills none was another DRG


def test_one_small_hospital_does_not_follow_from_the_total(tmp_path: Path):
    text = report(crowded({"B": 40, "C": 11, "D": 30}), tmp_path / "report.html").read_text("utf-8")
    # A alone has fewer than 11; the smallest of the others is kept back with it.
    assert [row[0] for row in table(parsed(text), "2 hospitals")] == ["B", "D"]


def test_admissions_without_hospitals(tmp_path: Path):
    whole = made()
    alone = with_claims(whole, admissions=whole.admissions.drop("hospital_id"))
    text = report(alone, tmp_path / "report.html").read_text("utf-8")
    assert "6 admissions, grouped" in text
    assert "<h2>Hospitals</h2>" not in text


def test_says_that_there_is_one_replicate_or_the_run_was_interrupted(tmp_path: Path):
    whole = made()
    first = pl.col("replicate") == 0
    one = replace(
        whole,
        replicates=1,
        interrupted=True,
        totals=whole.totals.filter(first),
    )
    one = with_claims(
        one, changed_claims=whole.changed_claims.filter(first), attribution=whole.attribution.filter(first)
    )
    text = report(one, tmp_path / "report.html").read_text("utf-8")
    assert "one replicate: no interval" in text
    assert "Interrupted: 1 of 3 replicates were finished." in text
    cells = [cell for rows in parsed(text).tables.values() for row in rows for cell in row]
    assert cells
    assert not {"nan", "None", "inf"} & set(cells)


def test_unusable_arguments_raise(tmp_path: Path):
    with pytest.raises(InputError, match="found DataFrame"):
        report(pl.DataFrame(), tmp_path / "report.html")  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"of version 42\.1, the simulation of 43\.1"):
        report(made(), tmp_path / "report.html", tables=TableSet.load("42.1"))
    with pytest.raises(InputError, match="is a folder"):
        report(made(), tmp_path)
    with pytest.raises(SchemaError, match=r"drgsim\.synthetic\.validity"):
        report(made(), tmp_path / "report.html", validity=pl.DataFrame({"measure": []}))
    assert not [*tmp_path.iterdir()]


def test_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "report.html"
    path.write_text("before", "utf-8")

    def full(self: Path, _target: Path) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(Path, "replace", full)
        with pytest.raises(StorageError, match="No space left"):
            report(made(), path)
    assert path.read_text("utf-8") == "before"
    assert [*tmp_path.iterdir()] == [path]
    report(made(), path)
    assert path.read_text("utf-8").startswith("<!DOCTYPE html>")


# --- in a browser ----------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def chromium() -> str:
    """The command of a browser, or a skip where there is none."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("no Chromium on this machine; on Debian: apt-get install chromium")
    return found


def browse(chromium: str, page: Path, profile: Path, *options: str) -> str:
    """Open a page in a browser without a window, and return what the option prints."""
    flags = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--hide-scrollbars")
    where = f"--user-data-dir={profile}"
    command = [chromium, *flags, where, *options, page.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout


def test_opens_in_a_browser(chromium: str, tmp_path: Path):
    from matplotlib.image import imread

    page = report(crowded({"B": 40, "C": 11, "D": 30}), tmp_path / "report.html", tables=TableSet.load("43.1"))
    shot = tmp_path / "shot.png"
    browse(chromium, page, tmp_path / "profile", "--window-size=1100,1600", f"--screenshot={shot}")
    pixels = imread(shot)[..., :3]
    assert pixels.shape == (1600, 1100, 3)
    assert (pixels < 0.99).any(axis=2).any(axis=1).mean() > 0.5  # no blank page: most lines have something
    # The blue and the orange of the first figure are there, so figures are shown, not named.
    for colour in ((0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00)):
        near = abs(pixels - [part / 255 for part in colour]).max(axis=2) < 0.03
        assert near.sum() > 1_000


def test_runs_no_script_but_its_own(chromium: str, tmp_path: Path):
    page = report(made(title=EVIL), tmp_path / "report.html")
    # Even were a text not escaped, the page forbids foreign scripts.
    leaking = tmp_path / "leaking.html"
    leaking.write_text(page.read_text("utf-8").replace("</body>", f"{EVIL}</body>"), "utf-8")
    for one in (page, leaking):
        dom = browse(chromium, one, tmp_path / "profile", "--dump-dom")
        assert "<title>run</title>" not in dom
        assert "<title>Coding errors and payment: &lt;script&gt;" in dom


@pytest.mark.parametrize(("clicks", "expected"), [(1, ["B", "D", "C"]), (2, ["C", "D", "B"])])
def test_a_click_sorts_a_table(chromium: str, tmp_path: Path, clicks: int, expected: list[str]):
    page = report(crowded({"B": 40, "C": 12, "D": 30, "E": 5}), tmp_path / "report.html")
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page.read_text("utf-8"))
    click = (
        "var heads = Array.from(document.querySelectorAll('th button'));"
        f"for (var i = 0; i < {clicks}; i++) heads.find(h => h.textContent === 'admissions' &&"
        " h.closest('table').textContent.startsWith('hospital')).click();"
    )
    page.write_text(text.replace("</body>", f"<script>{click}</script></body>"), "utf-8")
    dom = browse(chromium, page, tmp_path / "profile", "--dump-dom")
    assert [row[0] for row in table(parsed(dom), "3 hospitals")] == expected
