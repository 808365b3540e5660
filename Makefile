# portalbus: `make` prints this menu. Everything sets up what it needs, once.
.DEFAULT_GOAL := menu
.SILENT:
.PHONY: menu setup demo up down status test check lint chaos bench docs clean
MAKEFLAGS += --no-print-directory

ARGS ?=
# `make test` runs so many tests at once, each on a stack of its own (1 GB); most of a test is waiting.
PROCESSES ?= 2
BIN := .venv/bin
SETUP := PYTHON="$(PYTHON)" sh infra/bootstrap.sh
export PYTHON

menu:
	echo "make TARGET [ARGS=\"…\"]"
	sed -n 's/^\([a-z]*\):.*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 12

setup: ## set up .venv from uv.lock; the others do it by themselves
	$(SETUP)

demo: ## bring everything up and run a compressed working day of the portals (Ctrl-C ends it)
	$(SETUP) && exec $(BIN)/portalbus demo $(ARGS)

up: ## bring up the stack and the bus, without the simulation (ARGS=--detach)
	$(SETUP) && exec $(BIN)/portalbus up $(ARGS)

down: ## end a stack that runs in the background
	$(SETUP) && exec $(BIN)/portalbus down $(ARGS)

status: ## tell what is running
	$(SETUP) && exec $(BIN)/portalbus status $(ARGS)

test: lint ## lint, then all tests, on real Kafka, registry and PostgreSQL
	$(SETUP) && exec $(BIN)/python -m pytest tests -m "not chaos" -n $(PROCESSES) --dist loadfile --no-loadscope-reorder $(ARGS)

check: lint ## lint, then the quick tests alone (seconds, nothing is started)
	$(SETUP) && exec $(BIN)/python -m pytest tests/unit tests/contract -m "not chaos" -n $(PROCESSES) --dist loadfile $(ARGS)

lint: ## style, format, types and the direction of imports
	$(SETUP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy schemas producers streams connectors infra tests
	$(BIN)/lint-imports

chaos: ## the tests that break things, in full: some three hours (`make test` has them in a short form)
	$(SETUP) && exec $(BIN)/python -m pytest tests -m chaos -s $(ARGS)

bench: ## the figures, each as a ratio with both sides
	$(SETUP) && exec $(BIN)/python tests/bench/run.py $(ARGS)

docs: ## the catalogue of events and rules with all pages, readable offline, in site/
	$(SETUP) && exec $(BIN)/portalbus docs build --out site $(ARGS)

clean: ## end the stack and delete its state and all caches; .venv and downloads stay
	if [ -x $(BIN)/portalbus ]; then $(BIN)/portalbus down; fi
	find .portalbus -mindepth 1 -maxdepth 1 ! -name tools -exec rm -rf {} + 2>/dev/null || true
	rm -rf site .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache build dist
	find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +
