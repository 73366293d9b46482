# Everything works from a bare checkout: each target makes the environment it needs.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
OLDEST := .venv-oldest

.PHONY: demo test test-quick test-long test-all test-spark test-oldest test-oldest-quick bench check notebooks docs audit faults fuzz release lock sbom clean

demo: $(STAMP)
	$(BIN)/python -m drgsim demo

test: $(STAMP)
	$(BIN)/python -m pytest -n logical --dist worksteal

# The fast part: what a change of one module breaks most often.
QUICK := tests/test_architecture.py tests/test_front_door.py tests/test_vocabulary.py tests/golden tests/grouping \
    tests/numerics tests/rates tests/tables tests/claims/test_fault_files.py tests/claims/test_flat.py \
    tests/pricing/test_pricer.py tests/pricing/test_years.py

test-quick: $(STAMP)
	$(BIN)/python -m pytest -n logical --dist worksteal $(QUICK)

# What takes long: notebooks, killed runs, whole populations, the page of the command line. CI runs it.
test-long: $(STAMP)
	$(BIN)/python -m pytest -n logical --dist worksteal -m long

test-all: $(STAMP)
	$(BIN)/python -m pytest -n logical --dist worksteal -m "slow or long or (not slow and not long)"

# Spark in local mode, in several partitions; it needs Java.
test-spark: $(VENV)/.spark
	$(BIN)/python -m pytest tests/scale/test_spark.py

$(VENV)/.spark: $(STAMP)
	command -v java >/dev/null || (apt-get update -qq && apt-get install -y -qq default-jre-headless)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[spark]'
	touch $(VENV)/.spark

# The oldest releases pyproject.toml admits, worked out from its lower bounds.
test-oldest: $(OLDEST)/.ready
	$(OLDEST)/bin/python -m pytest -n logical --dist worksteal $(TESTS)

# Every example of every module, and the tests that ask most of numpy, polars and pydantic.
test-oldest-quick:
	$(MAKE) test-oldest TESTS="drgsim tests/golden tests/claims tests/tables tests/pricing"

$(OLDEST)/.ready: pyproject.toml $(STAMP)
	$(PYTHON) -m venv $(OLDEST)
	$(OLDEST)/bin/python -m pip install --quiet --disable-pip-version-check uv
	$(OLDEST)/bin/uv pip install --quiet --python $(OLDEST)/bin/python --resolution lowest-direct -e '.[dev,oracle,sensitivity]'
	touch $(OLDEST)/.ready

bench: $(VENV)/.bench
	$(BIN)/python -m pytest benchmarks --benchmark-only --benchmark-json=benchmark.json -q
	$(BIN)/python -m benchmarks.report benchmark.json

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Runs every notebook and keeps what it prints and draws; tests hold them against it.
notebooks: $(STAMP)
	$(BIN)/python -m tests.support.notebooks

# Known vulnerabilities of the locked packages. Without a network it fails, in one line that says so;
# AUDIT=--allow-unreachable makes it pass then.
audit:
	$(PYTHON) -m venv .venv-audit
	.venv-audit/bin/python -m pip install --quiet --disable-pip-version-check --retries 1 --timeout 15 pip-audit 2>/dev/null || true
	.venv-audit/bin/python -m tests.support.audit_lock $(AUDIT)

# Kills, full disks, read-only folders, replaced inputs, two writers, damaged files: some minutes, and a count at the end.
FAULTS := 400
faults: $(STAMP)
	$(BIN)/python -m tests.faults --trials $(FAULTS)

# A minute of coverage-guided fuzzing for every target; docs/hostile_input.md says how to run one for longer.
fuzz: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[fuzz]'
	for name in claims scenario population wire archive table5 formula; do \
	    $(BIN)/python -m tests.fuzz $$name --seconds 60 || exit 1; done

# The documentation as a site in site/; any warning fails.
docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

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

# The sdist, and the wheel out of it; checked for what they hold, installed into a clean environment and tried there.
release: $(VENV)/.release sbom
	rm -rf dist
	$(BIN)/python -m build --outdir dist
	DRGSIM_DIST=dist $(BIN)/python -m pytest tests/test_release.py

$(VENV)/.release: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[release]'
	touch $(VENV)/.release

$(VENV)/.docs: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[docs]'
	touch $(VENV)/.docs

RESOLVE := --universal --python-version 3.11 --no-emit-index-url --no-header --quiet

lock: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip compile $(RESOLVE) pyproject.toml --extra dev --extra oracle --extra sensitivity \
	    --generate-hashes --no-annotate --upgrade --output-file requirements.lock
	$(MAKE) sbom

# The bill of materials: of what is locked, the part that is needed at run time, and by what.
sbom: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip compile $(RESOLVE) pyproject.toml --constraint requirements.lock --annotation-style line \
	    > $(VENV)/needed.txt
	$(BIN)/python .ci/sbom.py < $(VENV)/needed.txt > $(VENV)/sbom.json
	mv $(VENV)/sbom.json sbom.cdx.json

clean:
	rm -rf $(VENV) $(OLDEST) .venv-audit dist site fuzz_corpus demo_output benchmark.json
