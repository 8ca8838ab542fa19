# The commands that a newcomer must know. `make demo` and `make test` set up everything they need.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
unexport PYTHONDONTWRITEBYTECODE
export PYTHONUNBUFFERED := 1
PYTHON ?= python3
PY := .venv/bin/python
UV := .tools/bin/uv
UV_VERSION := 0.13.9
# Two workers: whole installations on one, everything else on the other (tests/two_workers.py). SPREAD= runs in one.
SPREAD ?= -n 2 --dist loadscope

help: ## what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(UV):
	$(PYTHON) -m venv .tools
	.tools/bin/pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

.venv/.stamp: requirements-dev.txt pyproject.toml | $(UV)
	$(UV) venv --quiet --allow-existing --python $(PYTHON) .venv
	@echo "installing the suite into .venv (bytecode is compiled once: about a minute)"
	$(UV) pip sync --quiet --python .venv/bin/python --require-hashes --compile-bytecode requirements-dev.txt
	$(UV) pip install --quiet --python .venv/bin/python --no-deps --no-build-isolation --editable .
	touch $@

.venv-ledger/.stamp: ledger/requirements.txt ledger/pyproject.toml | $(UV)
	$(UV) venv --quiet --allow-existing --python $(PYTHON) .venv-ledger
	@echo "installing the ledger (Tryton) into .venv-ledger"
	$(UV) pip sync --quiet --python .venv-ledger/bin/python --require-hashes --compile-bytecode ledger/requirements.txt
	$(UV) pip install --quiet --python .venv-ledger/bin/python --no-deps --no-build-isolation --editable ledger
	touch $@

env: .venv/.stamp .venv-ledger/.stamp ## make every environment, locked with hashes

lock: | $(UV) ## resolve the requirements anew, with hashes
	$(UV) pip compile -q --no-header --no-annotate --no-emit-index-url --generate-hashes --python-version 3.11 requirements-dev.in -o requirements-dev.txt
	$(UV) pip compile -q --no-header --no-annotate --no-emit-index-url --generate-hashes --python-version 3.11 -c requirements-dev.txt requirements.in -o requirements.txt
	$(UV) pip compile -q --no-header --no-annotate --no-emit-index-url --generate-hashes --python-version 3.11 ledger/requirements.in -o ledger/requirements.txt

check: .venv/.stamp ## ruff, mypy --strict, import-linter, tidy tests
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports --no-cache
	$(PY) -m pytest -q tests/tidy

test: env ## the whole test suite
	$(PY) -m pytest tests $(SPREAD)

demo: env ## play a company's claims through OA, Airflow and ledger (ONCE=1 ends after the table; KILL=all kills each process)
	$(PY) -m tools.demo $(if $(ONCE),--once) $(if $(SEED),--seed $(SEED)) $(if $(KILL),--kill $(KILL))

prove: env ## kill and disturb everything, then let the checker look (DOCUMENTS, SEEDS="1 2 3", KILLS, MINUTES, CORE=1)
	.venv/bin/finbridge prove $(if $(DOCUMENTS),--documents $(DOCUMENTS)) $(if $(KILLS),--kills $(KILLS)) \
		$(if $(MINUTES),--minutes $(MINUTES)) $(if $(CORE),--core) $(foreach seed,$(SEEDS),--seed $(seed))

replay-full: env ## the whole real logs in all variants (FINBRIDGE_DATA names their folder)
	$(PY) -m tools.replay_full

screenshots: env ## pictures of the pages for docs/, taken by the browser tests
	mkdir -p docs/screenshots
	FINBRIDGE_SCREENSHOTS=docs/screenshots $(PY) -m pytest -q tests/e2e/test_browser.py

bench: env ## mapping a million lines, against a plain COPY
	.venv/bin/finbridge map --bench 1000000

.PHONY: help env lock check test demo prove replay-full screenshots bench
