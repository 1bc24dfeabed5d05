# `make demo` and `make test` start from nothing: they make .venv and install what they need.

PYTHON := .venv/bin/python
MAKEFLAGS += --no-print-directory
export DEBIAN_FRONTEND := noninteractive

.PHONY: help demo test lint format bench chaos setup-servers clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: .venv/.has-embedded ## the whole fleet on this machine, on simulated venues (DEMO_SECONDS=n: without a screen, n seconds)
	@.venv/bin/fleet demo $(if $(DEMO_SECONDS),--seconds $(DEMO_SECONDS))

test: .venv/.has-dev setup-servers lint ## lint, types, import contracts, then all tests (files that take long come early)
	@$(PYTHON) -m pytest -n 5 --dist loadfile --no-loadscope-reorder

lint: .venv/.has-dev ## ruff, mypy, import contracts
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --check .
	@$(PYTHON) -m mypy
	@.venv/bin/lint-imports

format: .venv/.has-dev ## rewrite the code as the linter wants it
	@$(PYTHON) -m ruff format .
	@$(PYTHON) -m ruff check --fix .

bench: .venv/.has-embedded ## measure: messages a second, CPU a message, latencies
	@.venv/bin/fleet bench

chaos: .venv/.has-embedded ## hurt a fleet in every way there is, small (FLEET_CHAOS_SCALE=full: 300 pairs; hours)
	@.venv/bin/fleet chaos all $(if $(FLEET_CHAOS_SCALE),--scale $(FLEET_CHAOS_SCALE))

setup-servers: ## install redis-server and MariaDB for the tests, where missing
	@ops/setup/servers.sh

clean: ## remove .venv, caches and builds; data in var/ stay
	@rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache ./*.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.has-embedded: pyproject.toml
	@if [ .venv/.has-dev -nt pyproject.toml ]; then :; else ops/setup/venv.sh embedded; fi # dev has it all
	@touch $@

.venv/.has-dev: pyproject.toml
	@ops/setup/venv.sh dev
	@touch $@
