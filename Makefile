# The verbs of the project. Each builds its own environment first; nothing but Python 3.11, make and the
# package registries is needed.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Hundreds of short processes run here: with this variable set, each would compile all that it imports again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo demo-keepup run test live e2e faults bench bench-scale long lint types fast docs clean lock setup
.DEFAULT_GOAL := help

help:
	@sed -n 's/^## //p' Makefile

setup: $(READY)

$(READY): requirements.lock client/pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv==0.13.9
	@$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes --only-binary :all: requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --no-index -e ./client
	@touch $(READY)

## demo         the main job: a Monte-Carlo production from request to Z peak
demo: $(READY)
	@$(BIN)/python manage.py demo $(DEMO)

## demo-keepup  raw files are reconstructed as they come, through a restart of everything
demo-keepup: $(READY)
	@$(BIN)/python manage.py demo_keepup $(DEMO)

## run          the site and its workers on the embedded database
run: $(READY)
	@$(BIN)/python manage.py up

## test         everything that a laptop without root can run
test: $(READY)
	@$(BIN)/python -m pytest -q -n 4 --dist loadgroup -m "not live and not e2e and not faults and not scale" $(ARGS)

## fast         the tests that need no database
fast: $(READY)
	@$(BIN)/python -m pytest -q -n 2 -m "not live and not e2e and not faults and not scale and not django_db" $(ARGS)

## live         suites that install and start real servers
live: $(READY)
	@$(BIN)/python -m pytest -q -n 2 --dist loadfile -m live $(ARGS) || test $$? -eq 5

## e2e          suites that drive a real browser
e2e: $(READY)
	@$(BIN)/python -m pytest -q -n 2 --dist loadgroup -m e2e $(ARGS) tests/e2e || test $$? -eq 5

## faults       1,000 submissions under 200 kill -9
faults: $(READY)
	@$(BIN)/python -m tests.faults $(FAULTS)

## bench        figures, one JSON object a line
bench: $(READY)
	@$(BIN)/python -m tests.scale.bench $(BENCH)

## bench-scale  the same at full size
bench-scale: $(READY)
	@$(BIN)/python -m tests.scale.bench --full $(BENCH)

## long         the proofs at full size
long: $(READY)
	@$(BIN)/python -m tests.faults --full
	@$(BIN)/python -m tests.faults.farm
	@$(BIN)/python -m tests.faults.network
	@$(BIN)/python -m tests.faults.database --restores 5
	@$(BIN)/python -m tests.faults.disks
	@$(BIN)/python -m tests.faults.dead_hosts
	@$(BIN)/python -m tests.faults.upgrade
	@$(BIN)/python -m pytest -q -m "scale or faults"
	@POMS_WHOLE=1 $(BIN)/python -m pytest -q -n 2 --dist loadgroup tests/contracts tests/admin \
		tests/api/test_bad_input.py tests/submissions/test_slices.py tests/submissions/test_keeping_up.py \
		tests/web/test_verbs.py tests/walks
	@POMS_EXAMPLES=100000 $(BIN)/python -m pytest -q tests/campaigns/test_round_trip.py \
		tests/integrations/test_local_query.py
	@POMS_ROUNDS=1000 $(BIN)/python -m pytest -q tests/submissions/test_concurrency.py tests/approvals/test_contest.py
	@POMS_OPERATIONS=1000000 $(BIN)/python -m pytest -q tests/submissions/test_histories.py
	@POMS_HISTORIES=100000 POMS_LOST_JOBS=300000 $(BIN)/python -m pytest -q tests/submissions/test_observing.py
	@POMS_LAUNCHES=1000 $(BIN)/python -m pytest -q tests/credentials/test_launching.py
	@POMS_CHAIN=100 $(BIN)/python -m pytest -q tests/submissions/test_chain.py
	@$(BIN)/python -m tests.scale.bench --brief
	@$(BIN)/python -m tests.scale.readers
	@$(BIN)/python -m tests.scale.queue_forecast
	@$(BIN)/python -m tests.scale.blackholes

## lint         ruff, import contracts, templates, types
lint: $(READY) types
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .
	@PYTHONPATH=.:client $(BIN)/lint-imports --no-cache
	@$(BIN)/djlint --quiet --lint templates

## types        mypy
types: $(READY)
	@$(BIN)/mypy .

## docs         check that pages render, links are whole, and what is typed is taken
docs: $(READY)
	@$(BIN)/python -m pytest -q -m "not live" tests/contracts/test_docs.py tests/contracts/test_floors.py \
		tests/contracts/test_how_to.py tests/walks tests/web/test_docs_pages.py

## lock         resolve the dependencies anew
lock:
	@$(BIN)/uv pip compile pyproject.toml --all-extras --universal --generate-hashes --no-emit-index-url --no-header --quiet -o requirements.lock

## clean        remove what was built and what was run
clean:
	@rm -rf $(VENV) .poms .mypy_cache .ruff_cache .pytest_cache .hypothesis staticfiles
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
