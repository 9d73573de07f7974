# make demo    see bgjob work: one job, through the command line and through a real MCP client
# make test    the default tests
# make test-slow   what takes over two seconds each; CI runs it, too
# make test-all    everything
# make perf    measure every row of docs/reference/performance.md; ARGS='quick', 'keep', or names of groups
# make economy what everyday tasks cost an agent, beside mcp-background-job, which it installs into .economy
# make conformance   the official MCP suite and other people's clients; installs npm packages into .conformance
# make check   lint, formatting, types, who may import whom
# make clean   remove the virtual environment and everything generated
#
# make economy PEER_PYTHON=python3.12 names the Python that mcp-background-job gets.
# Each target installs what it needs into $(VENV), once. Choose another Python with PYTHON=python3.13, and another
# directory for it with VENV=.venv-3.13.

.NOTPARALLEL:
.PHONY: demo test test-slow test-all perf economy conformance check format install clean

VENV ?= .venv
# The first one that is new enough; empty when there is none.
ifndef PYTHON
PYTHON := $(shell for python in python3 python3.13 python3.12 python3.11; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$python" && break; done)
endif

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet --quiet install --constraint constraints.txt
INPUTS := pyproject.toml constraints.txt bgjobd/version.py
# Tests side by side: half as many again as there are processors, as most of them wait for something.
WORKERS ?= $(shell "$(PYTHON)" -c 'import os; print((3 * (os.cpu_count() or 1) + 1) // 2)')
# Arguments for pytest, e.g. make test ARGS='-n 0 -k kill -x'.
ARGS ?=

demo: $(VENV)/installed
	$(BIN)/python docs/tutorial/demo.py

test: $(VENV)/installed-test
	$(BIN)/python -m pytest -n $(WORKERS) $(ARGS)

# What takes over two seconds: whole builds, gigabytes, torture.
test-slow: $(VENV)/installed-test
	$(BIN)/python -m pytest -n $(WORKERS) -m "slow and not soak" $(ARGS)

# Everything, with the soaks: those take minutes each.
test-all: $(VENV)/installed-test
	$(BIN)/python -m pytest -n $(WORKERS) -m "" $(ARGS)

# On a machine with nothing else to do: about ten minutes.
perf: $(VENV)/installed-test
	$(BIN)/python -m tests.perf $(ARGS)

economy: $(VENV)/installed-test
	$(BIN)/python -m tests.economy .economy $(PEER_PYTHON)

conformance: $(VENV)/installed-test
	$(BIN)/python -m tests.conformance .conformance

check: $(VENV)/installed-check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/installed-check
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

install: $(VENV)/installed

# setuptools first, and no build isolation: the build then uses the pinned one, and nothing is fetched twice.
$(VENV)/installed: $(INPUTS)
	@test -n "$(PYTHON)" || { echo "bgjob needs Python 3.11 or newer; name one with: make PYTHON=/path/to/python3" >&2; exit 1; }
	@echo "Installing bgjob into $(VENV) …"
	@"$(PYTHON)" -m venv "$(VENV)"
	@$(PIP) setuptools
	@$(PIP) --no-build-isolation --editable .
	@$(BIN)/python -m compileall -q bgjobd bgjob_cli bgjob_mcp
	@touch $@

$(VENV)/installed-test: $(VENV)/installed
	@echo "Installing what the tests need …"
	@$(PIP) --no-build-isolation --editable '.[test]'
	@touch $@

$(VENV)/installed-check: $(VENV)/installed-test
	@echo "Installing what the checks need …"
	@$(PIP) --no-build-isolation --editable '.[check]'
	@touch $@

clean:
	rm -rf "$(VENV)" build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .conformance .economy
	find bgjobd bgjob_cli bgjob_mcp tests docs -name __pycache__ -type d -prune -exec rm -rf {} +
