# Every target sets up .venv by itself and is quick the second time.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OPEN ?= 1
JOBS ?= 2
EXTRAS ?= test

.DEFAULT_GOAL := help

.PHONY: help
help: ## say what each target does
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

$(VENV)/.ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "auditkit needs Python 3.11 or newer; name one with make PYTHON=python3.12"; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing auditkit into $(VENV) (a few minutes the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[$(EXTRAS)]'
	@touch $@

.PHONY: demo
demo: $(VENV)/.ready ## train and audit both built-in subjects, then open the dashboard (OPEN=0 leaves it closed)
	@$(BIN)/auditkit demo $(if $(filter 0,$(OPEN)),--no-open)

.PHONY: test
test: $(VENV)/.ready ## lint, types, import order and every test
	@$(MAKE) --no-print-directory lint
	@$(BIN)/python -m pytest -q -n $(JOBS) --dist loadfile

.PHONY: lint
lint: $(VENV)/.ready ## ruff, mypy and the import order
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy auditkit dashboard
	@$(BIN)/lint-imports --no-cache

.PHONY: bench
bench: $(VENV)/.ready ## run the benchmarks and keep their tables under benchmarks/results
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test,bench]'
	@$(BIN)/python -m benchmarks

.PHONY: matrix
matrix: $(VENV)/.ready ## run every loader and every kind of network through the audit and write docs/matrix.md
	@$(BIN)/python -m tests.journeys.matrix

.PHONY: sample
sample: $(VENV)/.ready ## make the demo's reports in reports/sample again
	@$(BIN)/auditkit demo --no-open --sample reports/sample
