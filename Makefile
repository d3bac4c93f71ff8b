# Every target installs what it needs first: `make demo` works on a machine with Python 3.11+ and nothing else.
.DEFAULT_GOAL := help
.PHONY: help install dev demo test compiled try-compiled quick lint type fmt bench soak mutate schemas lock clean
.DELETE_ON_ERROR:

VENV ?= .venv
# Of which to make .venv; empty: the first of python3.11, python3.12, … that has what it needs.
PYTHON ?=
RUN := $(VENV)/bin/python -m
UNIT := $(RUN) pytest -q --numprocesses 2 --dist worksteal -m 'not soak'
PEERS := .venv-peers
MUTATE := .venv-mutate
PURELIB := 'import sysconfig; print(sysconfig.get_path("purelib"))'
PIP := $(RUN) pip --disable-pip-version-check --no-input
# A pinned set with hashes, then the checkout itself, built by the pinned hatchling: nothing unpinned is fetched.
INSTALL_SELF := $(PIP) install --quiet --no-deps --no-build-isolation --editable .
NEEDS := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(VENV)/.run ## Make .venv with what runs
dev: $(VENV)/.dev ## Make .venv with what runs and what tests

demo: $(VENV)/.run ## Start everything, play a sample, show the result (ONCE=1 ends by itself, DATA=folder)
	@$(VENV)/bin/pulse demo $(if $(ONCE),--once) $(if $(DATA),--data $(DATA))

test: export PYTHONDONTWRITEBYTECODE = # the hundreds of processes it starts compile nothing twice
test: $(VENV)/.dev ## Everything CI runs: all tests, on the real Kafka and ClickHouse
	@$(MAKE) --no-print-directory --jobs=2 --output-sync lint type try-compiled
	FOLD_COMPILED=no $(UNIT) tests/unit tests/contract
	! $(RUN) stream.compiling --there || FOLD_COMPILED=yes $(UNIT) tests/unit/stream
	$(RUN) pytest -m 'not soak' --durations=20 tests/browser tests/chaos tests/e2e tests/integration
compiled: $(VENV)/.dev ## The fold as C, a fifth faster (needs a C compiler and Python's headers; without: plain Python)
	@$(RUN) stream.compiling
try-compiled: $(VENV)/.dev
	@$(RUN) stream.compiling --if-possible
quick: $(VENV)/.dev ## The tests that need no broker, in under 30 s, in memory where there is room
	PYTHONDONTWRITEBYTECODE= TESTS_QUICK=1 $(RUN) pytest -q --numprocesses 3 --dist worksteal \
	  -m 'not real and not browser and not soak' tests/unit tests/contract
lint: $(VENV)/.dev ## Style, without changing a file
	$(RUN) ruff check . && $(RUN) ruff format --check .
type: $(VENV)/.dev ## mypy --strict over everything, tests included
	$(RUN) mypy
fmt: $(VENV)/.dev ## Format, and mend what ruff can mend
	$(RUN) ruff check --fix . ; $(RUN) ruff format .
bench: try-compiled ## The benchmarks, one table (JSON=1: one JSON line at the end)
	@$(MAKE) --no-print-directory $(PEERS)/.ready || echo 'Peers in Python will be left out: no $(PEERS).' >&2
	$(RUN) benchmarks $(if $(JSON),--json)
soak: $(VENV)/.dev ## The full sizes of the chaos tests
	$(RUN) pytest -m soak
mutate: $(MUTATE)/.ready ## Does a test notice when the fold is changed? (MODULES="windows keys", SAMPLE=30, 0 for all)
	$(RUN) tests.mutation $(MODULES) $(if $(SAMPLE),--sample $(SAMPLE))
schemas: $(VENV)/.dev ## Generate the JSON Schemas and the AsyncAPI document anew
	$(RUN) schemas.generate
lock: $(VENV)/.dev ## Pin the dependencies of pyproject.toml anew (needs uv)
	uv pip compile -q pyproject.toml --extra build --python-version 3.11 --universal --generate-hashes \
	  --no-header --no-annotate --no-emit-index-url -o requirements.lock
	uv pip compile -q pyproject.toml --extra build --extra dev --python-version 3.11 --universal --generate-hashes \
	  --no-header --no-annotate --no-emit-index-url -c requirements.lock -o requirements-dev.lock
	uv pip compile -q --group compile --python-version 3.11 --universal --generate-hashes \
	  --no-header --no-annotate --no-emit-index-url -c requirements-dev.lock -o requirements-compile.lock
	uv pip compile -q benchmarks/peers/requirements.in --python-version 3.11 --universal --generate-hashes \
	  --no-header --no-annotate --no-emit-index-url -o benchmarks/peers/requirements.lock
	uv pip compile -q tests/mutation/requirements.in --python-version 3.11 --universal --generate-hashes \
	  --no-header --no-annotate --no-emit-index-url -o tests/mutation/requirements.lock
clean: ## Remove .venv and what tools leave; the data folder .pulse stays
	rm -rf stream/_compiled $(VENV) $(PEERS) $(MUTATE) mutants .mypy_cache .ruff_cache .hypothesis test-output

$(VENV)/bin/python:
	@for python in $(PYTHON) python3.11 python3.12 python3.13 python3 python; do \
	  if $$python -c '$(NEEDS)' 2>/dev/null; then exec $$python -m venv $(VENV); fi; \
	done; \
	echo 'Pulse needs Python 3.11 or newer with venv, and found none.' >&2; \
	echo 'On Debian or Ubuntu: apt-get install python3 python3-venv' >&2; exit 1

$(VENV)/.run: requirements.lock pyproject.toml | $(VENV)/bin/python
	@echo 'Installing what runs (once) …'
	@$(PIP) install --quiet --require-hashes -r requirements.lock
	@$(INSTALL_SELF)
	@touch $@

# The dev set holds the run set, so it counts as both.
$(VENV)/.dev: requirements-dev.lock requirements.lock pyproject.toml | $(VENV)/bin/python
	@echo 'Installing what runs and what tests (once) …'
	@$(PIP) install --quiet --require-hashes -r requirements-dev.lock
	@$(INSTALL_SELF)
	@touch $(VENV)/.run $@

# The peers of the benchmarks keep to themselves: their dependencies are not ours.
$(PEERS)/.ready: benchmarks/peers/requirements.lock | $(VENV)/bin/python
	@echo 'Installing what the benchmarks compare with (once) …'
	@rm -rf $(PEERS) && $(VENV)/bin/python -m venv $(PEERS)
	@$(PEERS)/bin/python -m pip --disable-pip-version-check --no-input install --quiet --require-hashes -r $<
	@touch $@

# mutmut and Faust want different releases of click: it has its own, and finds everything else in $(VENV).
$(MUTATE)/.ready: tests/mutation/requirements.lock $(VENV)/.dev
	@echo 'Installing what mutates (once) …'
	@rm -rf $(MUTATE) && $(VENV)/bin/python -m venv $(MUTATE)
	@$(MUTATE)/bin/python -m pip --disable-pip-version-check --no-input install --quiet --require-hashes -r $<
	@$(VENV)/bin/python -c $(PURELIB) > "$$($(MUTATE)/bin/python -c $(PURELIB))/base.pth"
	@touch $@
