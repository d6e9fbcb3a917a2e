# Everything a person or CI does with the project; the first two need nothing prepared:
#   make demo    the main job on sample_logs/, with an embedded sandbox in Umami's place
#   make test    all tests but the long ones
# Others: make check (what CI runs), check-full, test-poll, chaos, soak, bench, bench-compare,
#   lock, clean.

PYTHON ?= python3
BIN    := .venv/bin
SEEDS  ?= 20
MINUTES ?= 15

.PHONY: demo test test-poll check check-full format lint types contract coverage chaos soak bench \
        bench-compare lock clean system-packages

# The environment is rebuilt when the lock file changes. pip checks every hash; the project itself
# is put in place without asking any registry.
$(BIN)/.ready: packaging/requirements-dev.txt pyproject.toml
	@packaging/make-venv "$(PYTHON)" .venv packaging/requirements-dev.txt
	@touch $@

demo: $(BIN)/.ready
	@$(BIN)/python packaging/demo.py

# What tests need from outside: real servers, logrotate, strace. Installed when root and missing.
system-packages:
	@packaging/system-packages

test: $(BIN)/.ready system-packages
	@$(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow"

# Every test that follows logs, with watchdog switched off: a rescan is the truth.
test-poll: $(BIN)/.ready system-packages
	@$(BIN)/python -m pytest -n 2 --dist worksteal --poll tests/acceptance tests/chaos \
	  tests/integration/logfiles

check: format lint types contract coverage test

check-full: format lint types contract coverage system-packages
	@$(BIN)/python -m pytest -n 2 --dist worksteal

format: $(BIN)/.ready
	@$(BIN)/ruff format --check .

lint: $(BIN)/.ready
	@$(BIN)/ruff check .

types: $(BIN)/.ready
	@$(BIN)/mypy

contract: $(BIN)/.ready
	@$(BIN)/lint-imports --no-logo

# Branch coverage of the pure rooms, by their own unit tests alone.
coverage: $(BIN)/.ready
	@$(BIN)/coverage erase
	@$(BIN)/coverage run -m pytest -q -p no:cacheprovider -n 2 --dist worksteal \
	  $(addprefix tests/unit/,formats pageviews checkpoint scan)
	@$(BIN)/coverage combine -q
	@$(BIN)/coverage report --fail-under=95 --skip-covered \
	  --include="ingestor/formats/*,ingestor/pageviews/*,ingestor/checkpoint/watermark.py"

chaos: $(BIN)/.ready system-packages
	@$(BIN)/python tests/chaos/run.py --seeds $(SEEDS)

soak: $(BIN)/.ready
	@$(BIN)/python tests/chaos/soak.py --minutes $(MINUTES)

bench: $(BIN)/.ready
	@$(BIN)/python benchmarks/run.py $(BENCH)

# What a change cost: make bench-compare REV=HEAD~5
bench-compare: $(BIN)/.ready
	@$(BIN)/python benchmarks/run.py --compare $(REV) $(BENCH)

# New versions into the lock files (needs uv). They hold names, versions and hashes, no hosts.
lock:
	@uv pip compile -q --upgrade pyproject.toml --group install --generate-hashes \
	  --no-emit-index-url --no-annotate --no-header --python-version 3.11 \
	  -o packaging/requirements.txt
	@uv pip compile -q --upgrade pyproject.toml --group dev --generate-hashes \
	  --no-emit-index-url --no-annotate --no-header --python-version 3.11 \
	  -o packaging/requirements-dev.txt

clean:
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis \
	  .import_linter_cache .coverage .coverage.* demo
