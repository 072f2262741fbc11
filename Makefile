# Two commands: `make up` (the platform in small, Airflow, the first run) and `make test`.
# The rest: down, status, doctor, backups, leases, stop, go, check, proof, items, evidence, lock, faults.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# With this variable set, every start of Airflow costs two to five times as much: its byte code is never kept.
unexport PYTHONDONTWRITEBYTECODE
# What a shell happens to hold is no order to use it: only `make up KUBECONFIG=…` and the like are.
define own
ifeq ($$(origin $(1)),command line)
export OWN_$(1) := $$(value $(1))
endif
unexport $(1)
endef
$(foreach variable,KUBECONFIG DATABASE_URL REDIS_URL PROMETHEUS_URL,$(eval $(call own,$(variable))))

PY := .venv/bin/python
# At the ops database of OPS_DSN, else at that of the platform in small.
AT = $(PY) -m $(if $(OPS_DSN),,sandbox run)
BASE_PYTHON := $(shell for p in python3.12 python3.13 python3.11 python3; do \
  "$$p" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && { command -v "$$p"; break; }; done)

help:  ## show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.venv/installed: requirements-dev.txt sandbox/bootstrap.py
	@test -n "$(BASE_PYTHON)" || { echo "No Python 3.11, 3.12 or 3.13 was found: install one, on Debian or Ubuntu with: apt install python3 python3-venv"; exit 1; }
	@$(BASE_PYTHON) sandbox/bootstrap.py

install: .venv/installed  ## the Python packages, into .venv
programs:  ## the Go programs, from the cache, a release, or built
	@test -n "$(BASE_PYTHON)" || { echo "No Python 3.11, 3.12 or 3.13 was found: install one, on Debian or Ubuntu with: apt install python3 python3-venv"; exit 1; }
	@$(BASE_PYTHON) -m sandbox.binaries

ready:  # both at once: neither needs the other
	@$(MAKE) --no-print-directory -j2 install programs

up: ready  ## start all of it, run the health check and a backup once
	@$(PY) -m sandbox up

down: install  ## stop all of it
	@$(PY) -m sandbox down

status: install  ## one line a component; 0 only if all are healthy
	@$(PY) -m sandbox status

doctor: export AIRFLOW__LOGGING__LOGGING_LEVEL = ERROR
doctor: install  ## every connection, right and setting of ENV=sandbox|staging|production; changes nothing
	@$(if $(filter-out sandbox,$(ENV)),OPS_ENVIRONMENT=$(ENV) PYTHONPATH=.:plugins $(PY) -m sre.doctor,$(PY) -m sandbox run sre.doctor)

backups: install  ## what is in the bucket, and what of it is good; no Airflow needed
	@$(PY) -m sandbox run include.backups list

leases: install  ## which operation holds what, and whether everything is ordered to stop
	@$(AT) include.ops leases

stop: install  ## order every operation to stop before its next effect: REASON="…"
	@$(AT) include.ops stop "$(REASON)"

go: install  ## lift the order to stop
	@$(AT) include.ops go

evidence: install  ## export the evidence FROM=… TO=… for an auditor, and verify its chain
	@$(AT) include.ops.evidence $(if $(FROM),--from $(FROM)) $(if $(TO),--to $(TO))

check: install  ## format, lint, types, and the fast tests
	@.venv/bin/ruff format --check .
	@.venv/bin/ruff check .
	@.venv/bin/mypy
	@.venv/bin/pytest -q -n 2 -m "not integration"
	@$(PY) -m include.catalogue

test: ready  ## the whole test suite, against real components that it starts and stops
	@.venv/bin/pytest -n 3

proof: ready  ## the proofs in full; NAME=… runs one
	@.venv/bin/pytest -m proof $(if $(NAME),-k "$(NAME)") --proof-full

bench: install  ## the speed claims, as ratios; the platform must be up
	@for name in $(or $(NAME),health airflow backup restore configuration cleanup); do echo "== $$name"; $(PY) -m sandbox run benchmarks.$$name $(if $(JSON),--json); done

faults: install  ## what can be made sick
	@$(PY) -m sandbox.faults list

fault: install  ## make something sick: NAME=…
	@$(PY) -m sandbox.faults $(NAME) on

mend: install  ## switch every fault off
	@$(PY) -m sandbox.faults all off

items: install  ## how much of the runbook works
	@$(PY) -m include.catalogue

lock:  ## compile the lock files from the .in files
	@.venv/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes requirements-dev.in -o requirements-dev.txt
	@.venv/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes requirements.in -c requirements-dev.txt -o requirements.txt

.PHONY: help install programs ready up down status doctor backups leases stop go evidence check test proof bench faults fault mend items lock
