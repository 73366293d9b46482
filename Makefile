# Everything works from a bare checkout: each target makes the environment it needs.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready

.PHONY: demo test test-all test-oldest bench check audit fuzz lock clean

demo: $(STAMP)
	$(BIN)/python -m drgsim demo

test: $(STAMP)
	$(BIN)/python -m pytest

test-all: $(STAMP)
	$(BIN)/python -m pytest -m "slow or not slow"

# The oldest releases pyproject.toml admits.
test-oldest:
	$(PYTHON) -m venv .venv-oldest
	.venv-oldest/bin/python -m pip install --quiet --disable-pip-version-check \
	    numpy==2.1.0 polars==1.36.1 pydantic==2.10.0 matplotlib==3.10.0 scipy==1.14.1 tqdm==4.66.6 pytest pytest-benchmark hypothesis
	.venv-oldest/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	.venv-oldest/bin/python -m pytest

bench: $(VENV)/.bench
	$(BIN)/python -m pytest benchmarks --benchmark-only --benchmark-json=benchmark.json -q
	$(BIN)/python -m benchmarks.report benchmark.json

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Known vulnerabilities of the locked packages; fails on findings only, and says where it could not ask.
audit:
	$(PYTHON) -m venv .venv-audit
	.venv-audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit
	.venv-audit/bin/python -m tests.audit_lock

# A minute of coverage-guided fuzzing for every target; docs/hostile_input.md says how to run one for longer.
fuzz: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[fuzz]'
	for name in claims scenario population wire archive table5 formula; do \
	    $(BIN)/python -m tests.fuzz $$name --seconds 60 || exit 1; done

# The lock file pins every package by hash. Debian keeps venv apart from Python: fetch it where it is missing.
$(STAMP): pyproject.toml requirements.lock
	$(PYTHON) -c 'import ensurepip' 2>/dev/null || (apt-get update -qq && apt-get install -y -qq python3-venv)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	touch $(STAMP)

$(VENV)/.bench: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[bench]'
	touch $(VENV)/.bench

lock: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip compile --quiet pyproject.toml --extra dev --extra oracle --extra sensitivity --universal --python-version 3.11 \
	    --generate-hashes --no-emit-index-url --no-annotate --no-header --upgrade --output-file requirements.lock

clean:
	rm -rf $(VENV) .venv-oldest .venv-audit fuzz_corpus demo_output benchmark.json
