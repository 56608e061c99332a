# Two commands do everything: `make run` and `make test`. Needs Python >= 3.11, make and the package registries.
PYTHON ?= python3
BIN := .venv/bin
WEB := $(shell find web -type f -not -path 'web/node_modules/*' -not -path 'web/dist/*' 2>/dev/null)

# what starts no process and opens no port
DECIDES := tests/core tests/model tests/eval $(wildcard tests/drills/test_guard.py tests/drills/test_debuts.py) \
  $(filter-out %/test_contract_streams.py, $(wildcard tests/sim/test_*.py))

.PHONY: run setup test test-decides test-acts check check-slow bench docs wheel clean sim

run: setup ## start three regions, publish clips, open the feed
	$(BIN)/holdfast up $(ARGS)

setup: .venv/.installed src/holdfast/webapp/index.html

.venv/.installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Holdfast needs Python 3.11 or newer, and $(PYTHON) is older."; \
	    echo "hint: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)"; exit 2; }
	@echo "installing the locked Python packages into .venv (about a minute)"
	@$(PYTHON) -m venv .venv || { echo "hint: this Python has no venv; on Debian: apt-get install python3-venv"; exit 2; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

src/holdfast/webapp/index.html: .venv/.installed $(WEB)
	@echo "building the web app"
	@$(BIN)/python tools/webapp.py build
	@touch $@

check: setup ## style, types, floors
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/pyright

test: check ## everything that must hold, in under 15 minutes on two cores
	$(BIN)/python tools/webapp.py test
	@$(MAKE) --no-print-directory -j 2 test-decides test-acts

test-decides: ## what only computes: core, model, simulation, evaluation
	$(BIN)/python -m pytest --timeout 900 -m "not slow" $(DECIDES)

test-acts: ## what starts processes, and mostly waits for them
	$(BIN)/python -m pytest --timeout 900 -m "not slow" tests $(DECIDES:%=--ignore=%)

check-slow: setup ## the long sweeps, and new examples for the properties
	$(BIN)/python -m pytest -m slow
	$(BIN)/python -m pytest --timeout 1800 --hypothesis-profile explore tests/core tests/model

sim: setup ## 1,000 simulated worlds: every fault must occur, every promise hold
	$(BIN)/holdfast sim --seeds 1..1000 --jobs 2 --json

bench: setup ## the figures of the docs
	$(BIN)/holdfast bench ingest --json
	$(BIN)/holdfast bench learning --json
	$(BIN)/holdfast drill kill --json

docs: setup ## record the tour at the top of the README, and regenerate tables
	$(BIN)/python tools/docs.py

wheel: setup ## a wheel that carries the built web app
	$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation -w dist .

lock: ## refresh requirements.lock (needs uv)
	uv pip compile pyproject.toml --extra dev --generate-hashes --no-emit-index-url --no-emit-find-links --universal \
	  --python-version 3.11 --no-annotate --no-header -q -o requirements.lock

clean:
	rm -rf .venv web/node_modules src/holdfast/webapp dist
