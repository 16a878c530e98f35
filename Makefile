# Every command of the project. CONTRIBUTING.md shows what each of them runs, for users without make.
#
# PYTHON  the interpreter that .venv is made with     make install PYTHON=python3.13
# VENV    where it is made                            make test VENV=.venv313
# PYTEST  arguments for pytest                        make test PYTEST="-x -k windows"
# SEED, STEPS, LEVEL  of a walk                       make walk SEED=7 STEPS=300 LEVEL=system

PYTHON ?= python3
VENV ?= .venv
PYTEST ?=
SEED ?= $(shell date +%s)
STEPS ?= 100
LEVEL ?= core
RELEASE ?=
BIN := $(VENV)/bin

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help install demo ui test test-long walk browser lint pytest smoke clients newest-duckdb lowest newest coverage audit release-check docs docs-serve reference lock clean

help: ## List these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(VENV)/.installed ## Set up .venv from requirements.lock, hashes checked; does nothing if nothing changed

demo: install ## Fetch a made-up account into fifteen assets and one DuckDB file, in two minutes
	@$(BIN)/wx-datacube demo

ui: install ## Dagster's UI on your account; without one, on the demo
	@$(BIN)/wx-datacube ui

test: install ## Everything a change must pass: lint, types, layers, the built wheel, tests
	@$(MAKE) --no-print-directory -j2 lint smoke
	@$(MAKE) --no-print-directory pytest

test-long: install ## The tests that take minutes
	$(BIN)/pytest -n auto --dist loadfile --no-loadscope-reorder -m long -o faulthandler_timeout=1800 $(PYTEST)

walk: install ## Simulate random weeks of people, machines and WeChat: SEED, STEPS, and LEVEL core or system (Debian: faketime)
	$(BIN)/python -m wx_datacube_tests.walk --level $(LEVEL) --seed $(SEED) --steps $(STEPS)

browser: install ## The tests of Dagster's UI and of the report in Chromium (Debian: chromium, fonts-noto-cjk)
	$(BIN)/pytest -n auto --dist loadfile --no-loadscope-reorder -m browser $(PYTEST)

lint: install ## Ruff, mypy --strict and the import layers
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

pytest: install ## The tests alone
	$(BIN)/pytest -n auto --dist loadfile --no-loadscope-reorder $(PYTEST)

smoke: install ## Build the wheel and try it, without extras, in its own venv
	@scripts/smoke_wheel.sh $(BIN)/python

clients: install ## Another client of WeChat's API, from npm, against the emulator; needs node and npm
	npm install --no-package-lock --ignore-scripts --no-audit --no-fund --prefix wx_datacube_tests/node
	$(BIN)/pytest wx_datacube_tests/node

newest-duckdb: install ## The tests that use DuckDB, with the newest 2.x instead of the locked version
	rm -rf $(VENV)/newest-duckdb
	$(BIN)/python -m pip install --quiet --no-deps --target $(VENV)/newest-duckdb 'duckdb>=2,<3'
	PYTHONPATH=$(VENV)/newest-duckdb $(BIN)/pytest -n auto --dist loadfile --no-loadscope-reorder $(PYTEST) wx_datacube_tests/warehouse \
		wx_datacube_tests/operations/test_lake.py wx_datacube_tests/operations/test_status.py wx_datacube_tests/test_scale.py wx_datacube_tests/test_queries.py \
		wx_datacube_tests/questions

# The result depends on the package index, so these two are not part of `make test`. PYTEST selects the tests.
TEST_TOOLS := pytest pytest-xdist hypothesis 'wechatpy[cryptography]'

lowest: install ## The tests, commands included, with the lowest versions that pyproject.toml allows: .ci/lowest.txt
	$(BIN)/python -m venv --clear $(VENV)/lowest
	$(VENV)/lowest/bin/python -m pip install --quiet --constraint .ci/lowest.txt setuptools
	$(VENV)/lowest/bin/python -m pip install --quiet --constraint .ci/lowest.txt --no-build-isolation \
		--editable '.[ui,emulator,lake,mcp,postgres,report]' $(TEST_TOOLS)
	$(VENV)/lowest/bin/python -m pip check
	$(VENV)/lowest/bin/python -m pytest -n auto --dist loadfile --no-loadscope-reorder $(PYTEST)

# Dagster warns about such a pair of versions in every process; one test needs a process that prints nothing.
MISMATCH := 'ignore:Found version mismatch:UserWarning'
SILENT := wx_datacube_tests/orchestration/test_definitions.py::test_importing_the_definitions_has_no_effect

# As docs/how-to/dagster.md says for other Dagster projects: keep a Dagster that is newer than the one that dagster-duckdb requires.
# --no-config: without the constraints of the lock.
newest: install ## The tests, commands included, with the newest versions, and Dagster newer than dagster-duckdb's
	$(BIN)/uv venv --quiet --clear --python $(PYTHON) $(VENV)/newest
	$(BIN)/uv pip install --quiet --python $(VENV)/newest/bin/python dagster dagster-webserver
	$(BIN)/uv pip freeze --python $(VENV)/newest/bin/python | grep -i '^dagster' | tee $(VENV)/newest.txt
	$(BIN)/uv pip install --quiet --no-config --python $(VENV)/newest/bin/python --override $(VENV)/newest.txt \
		--editable '.[emulator,lake,mcp,report]' $(TEST_TOOLS)
	PYTHONWARNINGS=$(MISMATCH) $(VENV)/newest/bin/python -m pytest -W $(MISMATCH) -n auto --dist loadfile \
		--no-loadscope-reorder --deselect $(SILENT) $(PYTEST)

coverage: install ## The tests once more, with the lines and branches that they miss
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -n auto --dist loadfile --no-loadscope-reorder $(PYTEST)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --show-missing

audit: install ## Known vulnerabilities of the locked packages, by pip-audit in its own venv; queries the package index
	$(BIN)/python -m pip check
	$(PYTHON) -m venv $(VENV)/audit
	$(VENV)/audit/bin/python -m pip install --quiet pip-audit
	$(VENV)/audit/bin/pip-audit --requirement requirements.lock --require-hashes --disable-pip --strict

# RELEASE="--strict" fails if something could not be checked here. RELEASE_TAG=v1.2.3 is compared with the version.
release-check: install ## Check that the last commit can be released, and build it in dist/; takes three to ten minutes
	@$(BIN)/python -m scripts.release_check --tools $(VENV)/release $(RELEASE)

docs: install ## Build the documentation site in site/; fails on a dead link or anchor
	$(BIN)/zensical build --clean --strict

docs-serve: install ## Show the documentation site on this machine, and build it again after each change
	$(BIN)/zensical serve

reference: install ## Write docs/reference/ and docs/zh/reference/ anew from the code
	$(BIN)/python -m scripts.reference

# Keeps every pin that still fits; `make lock UV="--upgrade"` renews them all, `UV="-P dagster"` one of them.
lock: install ## Write requirements.lock anew from pyproject.toml
	@cp -p requirements.lock $(VENV)/before.lock
	$(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-header --quiet --output-file requirements.lock $(UV)
	@! cmp -s requirements.lock $(VENV)/before.lock || touch -r $(VENV)/before.lock requirements.lock

clean: ## Remove .venv, caches and build files; no data
	rm -rf $(VENV) wx_datacube_tests/node/node_modules build dist site .cache *.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis .coverage .coverage.*
	find wx_datacube wx_datacube_tests -name __pycache__ -prune -exec rm -rf {} +

# The lock installs into an empty venv, so that it contains only what the lock names. --no-deps: the lock is
# complete (`pip check` says so), and the pip that comes with Python 3.11 fails on extras when it checks hashes.
$(VENV)/.locked: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' || \
		{ echo "wx_datacube needs Python 3.11 to 3.14, and $(PYTHON) is another version. Name a suitable one: make install PYTHON=python3.13" >&2; exit 2; }
	@echo "Setting up $(VENV) from requirements.lock: about a minute, once."
	@$(PYTHON) -m venv $$(test ! -f $(VENV)/pyvenv.cfg || echo --clear) $(VENV)
	@$(BIN)/python -m pip install --quiet --no-deps --require-hashes --requirement requirements.lock
	@touch $@

$(VENV)/.installed: $(VENV)/.locked pyproject.toml
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m pip check
	@touch $@
