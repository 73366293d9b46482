"""The audit of locked packages, and the hashes of the lock file."""

from __future__ import annotations

import re
import subprocess

import pytest

from tests.support import audit_lock
from tests.support.audit_lock import LOCK, verdict

CLEAN = {"name": "a", "version": "1.0", "vulns": []}
UNANSWERED = {"name": "b", "skip_reason": "not found"}
KNOWN = {"name": "c", "version": "2.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2.1"]}]}


def test_a_known_vulnerability_fails():
    assert verdict([CLEAN, KNOWN]) == (
        1,
        "2 of 2 locked packages looked up, 1 vulnerabilities known\nc 2.0: PYSEC-1, fixed in 2.1",
    )


def test_a_package_without_an_answer_is_named_and_fails():
    assert verdict([CLEAN, UNANSWERED]) == (
        2,
        "1 of 2 locked packages looked up, 0 vulnerabilities known\nCOULD NOT ASK about 1: b",
    )


@pytest.mark.parametrize(("arguments", "code"), [([], 2), (["--allow-unreachable"], 0)])
@pytest.mark.parametrize("answer", ["", "no JSON", "{}"])
def test_without_a_network_it_fails_and_says_so(monkeypatch, capsys, arguments: list[str], code: int, answer: str):
    done = subprocess.CompletedProcess([], 1, answer, "ERROR: connection refused\n")
    monkeypatch.setattr(audit_lock.subprocess, "run", lambda *_args, **_how: done)
    monkeypatch.setattr(audit_lock.importlib.util, "find_spec", lambda _: True)
    assert audit_lock.main(arguments) == code
    reported = "COULD NOT ASK, so nothing is known about vulnerabilities: ERROR: connection refused\n"
    assert capsys.readouterr().out == reported


@pytest.mark.parametrize(("arguments", "code"), [([], 2), (["--allow-unreachable"], 0)])
def test_without_pip_audit_it_fails_and_says_so(monkeypatch, capsys, arguments: list[str], code: int):
    monkeypatch.setattr(audit_lock.importlib.util, "find_spec", lambda _: None)
    assert audit_lock.main(arguments) == code
    assert capsys.readouterr().out.startswith("COULD NOT ASK: pip-audit is not installed")


def test_every_locked_package_is_pinned_by_hash():
    entries = re.split(r"\n(?=\S)", LOCK.read_text("utf-8").strip())
    assert len(entries) > 20
    for entry in entries:
        assert re.match(r"[\w.-]+==\S+", entry), entry[:60]
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), entry[:60]
