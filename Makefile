# Molecule. `make` lists the commands. They need Python 3.11+, make, and a package index.

PYTHON ?= python3
BIN := .venv/bin
RUNTIME_STAMP := .venv/.installed-runtime
DEV_STAMP := .venv/.installed
PACKAGES := services gateway protos deploy molecule_agent molecule_cli molecule_http molecule_a2a

.DEFAULT_GOAL := help
.PHONY: help install up down status test mutants check e2e protos migrate settings states promises bench bench-registry bench-provisioner bench-streams bench-delivery chaos

help:  ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  variables of make up: PORT=8080 BACKEND=process|docker|none DEMO=1|0 MOLECULE_HOME=~/.molecule DATABASE_URL=postgresql://..."

install: $(DEV_STAMP)  ## make .venv from the lock, with the tools for development

up: $(RUNTIME_STAMP)  ## start the whole plane here, until Ctrl-C
	@$(BIN)/molecule up

down: $(RUNTIME_STAMP)  ## stop the plane that runs in MOLECULE_HOME
	@$(BIN)/molecule down

status: $(RUNTIME_STAMP)  ## the workspaces of the running plane
	@$(BIN)/molecule status

# Failed tests run once more at the end; tests/run_suite.py says what is FLAKY, and what is RED at once.
test: install  ## every test, the whole plane included
ifdef ARGS
	@$(BIN)/python -m pytest $(ARGS)
else
	@$(BIN)/python -m tests.run_suite \
	  --phase="--numprocesses 3 --dist loadfile --ignore tests/e2e --ignore tests/deploy" \
	  --phase="--numprocesses 2 --dist loadfile tests/e2e tests/deploy"
endif

mutants: install  ## mutation run: do the tests of the pure modules notice small changes?
	@$(BIN)/python -m tests.mutants $(ARGS)

check: install  ## format, lint, types, import rules, generated files
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m protos.generate --check
	@$(BIN)/python -m deploy.settings_file --check

e2e: install  ## only the tests of the whole plane
	@$(BIN)/python -m pytest -m e2e $(ARGS)

protos: install  ## compile the contracts
	@$(BIN)/python -m protos.generate

migrate: $(RUNTIME_STAMP)  ## roles, schemas and tables in DATABASE_URL
	@$(BIN)/molecule migrate

settings: $(RUNTIME_STAMP)  ## write deploy/settings.env: every setting with its default and meaning
	@$(BIN)/python -m deploy.settings_file

states: install  ## write docs/states.md: every status, what leads to it and what it is called
	@$(BIN)/python -m tests.states

promises: install  ## which requirements have tests
	@$(BIN)/python -m tests.promises

bench: install  ## echo through the plane against the agent directly
	@$(BIN)/python -m bench

bench-registry: install  ## the registry with ten thousand agents: heartbeats, feed, lists, sweeps
	@$(BIN)/python -m bench.registry

bench-provisioner: install  ## starts of agents: one at a time, fifty at once, the API meanwhile, idle cost
	@$(BIN)/python -m bench.provisioner

bench-streams: install  ## streams: first byte, lateness of events, memory of a thousand, cost of storing and converting
	@$(BIN)/python -m bench.streams

bench-delivery: install  ## the queue: accepting, draining, and memory over MINUTES=1 of load
	@$(BIN)/python -m bench.delivery $(if $(MINUTES),--minutes $(MINUTES))

chaos: install  ## kill everything under load for MINUTES=2 with SEED=n: is a message lost or doubled?
	@$(BIN)/python -m chaos $(if $(MINUTES),--minutes $(MINUTES)) $(if $(SEED),--seed $(SEED)) $(ARGS)

# The stamps are written last, so an interrupted installation starts over. A plane needs fewer packages than its
# development; the second set contains the first.
define make_environment
@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
  || { echo "molecule: $(PYTHON) is not Python 3.11 or newer; name one: make PYTHON=/path/to/python3.11" >&2; exit 1; }
@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null \
  || { echo "molecule: $(PYTHON) comes without venv; on Debian: apt install python3-venv, or make PYTHON=..." >&2; exit 1; }
@echo "molecule: creating .venv" && $(PYTHON) -m venv .venv \
  && $(BIN)/python -m deploy.installer $(1) \
  && echo "molecule: compiling the packages, which may take minutes" \
  && $(BIN)/python -m compileall -q $(PACKAGES) \
  || { echo "molecule: the packages could not be installed; the lines above say why" >&2; exit 1; }
endef

$(RUNTIME_STAMP): pyproject.toml uv.lock
	$(call make_environment)
	@touch $(RUNTIME_STAMP)

$(DEV_STAMP): pyproject.toml uv.lock
	$(call make_environment,--dev)
	@touch $(RUNTIME_STAMP) $(DEV_STAMP)
