# Each target works from a clean clone: it makes what it needs first. `make help` lists them.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
DEMO   ?=
FRESH  ?=
RELEASE ?=
VERSION ?=
PYTEST ?=
KEPT   ?=
# Those of one file share an Asterisk, so they stay together; tests/conftest.py says which files come first. One process
# more than cores, since those that call a real Asterisk wait half of their time; with more, real-time limits would break.
WORKERS ?= $(shell expr $$(nproc 2>/dev/null || echo 2) + 1)
FAST   := not pbx and not browser and not chaos and not clean_system
# Bytecode that can't be kept is compiled again by each of the many processes that tests start.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo test unit fast coverage pythons pins check bench chaos guards kept fresh wheel release vendor clean python

help: ## this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/'

demo: $(VENV)/.demo ## one call centre on this machine: private Asterisk, phones, callers, agents, console (DEMO="--once --headless")
	@$(BIN)/ctiserver demo $(DEMO)

test: $(VENV)/.test check ## everything CI runs: check, tests on a real Asterisk, database and browser, the wheel (PYTEST="-k word")
	@$(BIN)/python tools/test_packages.py
	@$(BIN)/python -m pytest -p no:cacheprovider -n $(WORKERS) --dist loadscope --no-loadscope-reorder $(PYTEST)

unit: $(VENV)/.test ## unit tests alone: an answer within a minute
	@$(BIN)/python -m pytest -p no:cacheprovider -n $(WORKERS) tests/unit $(PYTEST)

fast: $(VENV)/.test ## every test that needs no real PBX, no browser and no clean system, within four minutes
	@$(BIN)/python -m pytest -p no:cacheprovider -n $(WORKERS) --dist loadscope --no-loadscope-reorder -m "$(FAST)" --ignore tests/chaos $(PYTEST)

coverage: $(VENV)/.test ## branch coverage of what `make fast` runs, by module: coverage-results/report.txt
	@rm -rf coverage-results && mkdir coverage-results
	@status=0; $(BIN)/python -m pytest -p no:cacheprovider -n $(WORKERS) --dist loadscope --no-loadscope-reorder \
	  -m "$(FAST)" --ignore tests/chaos --cov=ctiserver --cov-branch --cov-report= $(PYTEST) || status=$$?; \
	  $(BIN)/python -m coverage report >coverage-results/report.txt; grep ^TOTAL coverage-results/report.txt; exit $$status

pythons: $(VENV)/.test ## unit, property, protocol, flow and store tests with each Python here (PYTHONS="paths", SQLITE=folder)
	@$(BIN)/python tools/pythons.py --workers $(WORKERS) $(if $(BESIDES),--besides $(BESIDES)) -- $(PYTEST)

check: $(VENV)/.test ## style, types, layers, shipped flows and configuration
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/python tools/dead_code.py
	@$(BIN)/python tools/house.py
	@$(BIN)/python tools/test_places.py
	@$(BIN)/python tools/commit_message.py --history
	@$(BIN)/python tools/words.py
	@$(BIN)/python tools/changelog.py
	@$(BIN)/ctiserver check
	@$(BIN)/python -m tests.poison

pins: test ## run the whole suite, then write down the Debian packages that it passed with
	@$(BIN)/python tools/pins.py

bench: $(VENV)/.test ## measures, as JSON in bench-results/
	@$(BIN)/python -m tests.bench

chaos: $(VENV)/.test ## the long fault tests; writes docs/reliability.md
	@$(BIN)/python tools/test_packages.py
	@CTISERVER_CHAOS_RESULTS=chaos-results $(BIN)/python -m pytest -p no:cacheprovider -m chaos tests/chaos tests/integration/hostile $(PYTEST); \
	  status=$$?; $(BIN)/python -m tests.chaos chaos-results; exit $$status

guards: $(VENV)/.test ## take each guard out in a copy, and see its test fail
	@$(BIN)/python -m tests.chaos.guards

kept: $(VENV)/.test ## keep a small database of this release for the upgrade test: make kept KEPT=0.2.0
	@test -n "$(KEPT)" || { echo "say which release this is: make kept KEPT=0.2.0" >&2; exit 2; }
	@$(BIN)/python -m tests.kept.make "$(KEPT)"

fresh: ## the README in clean systems, as an ordinary user (FRESH="--short debian-13", FRESH_SKIP="ubuntu-26.04")
	@$(PYTHON) -m tools.fresh $(FRESH)

wheel: | python ## the package to install elsewhere: dist/ctiserver-….whl
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@rm -rf dist
	@$(BIN)/python -m pip wheel -q --disable-pip-version-check --no-deps --wheel-dir dist .

release: $(VENV)/.test ## build, try in a clean system, cut the changelog, commit, tag (VERSION=0.2.0, RELEASE="--dry-run")
	@$(BIN)/python -m tools.release $(RELEASE) $(VERSION)

vendor: ## fetch and bundle the console's JavaScript again (needs npm)
	@command -v npm >/dev/null || { echo "make vendor needs npm: install Debian's package npm" >&2; exit 2; }
	@$(PYTHON) tools/vendor.py

clean: ## remove what the targets above made here
	@rm -rf $(VENV) .pythons build dist bench-results chaos-results coverage-results fresh-results .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

python:
	@command -v $(PYTHON) >/dev/null || { echo "ctiserver needs Python 3.11 or later with venv; on Debian or Ubuntu: sudo apt-get install python3-venv" >&2; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "ctiserver needs Python 3.11 or later, $(PYTHON) is older: say make PYTHON=/path/to/python3.11" >&2; exit 2; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "$(PYTHON) lacks venv; on Debian or Ubuntu: sudo apt-get install python3-venv" >&2; exit 2; }

$(VENV)/.demo: pyproject.toml $(wildcard hatch_build.py) | python
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing ctiserver and what it needs into $(VENV) (once)"
	@$(BIN)/python -m pip install -q --disable-pip-version-check -e '.[demo]'
	@touch $@

$(VENV)/.test: pyproject.toml $(wildcard hatch_build.py) | python
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing ctiserver and its test tools into $(VENV) (once)"
	@$(BIN)/python -m pip install -q --no-compile --disable-pip-version-check -e '.[demo,test]'
	@$(BIN)/python tools/commit_message.py --install
	@touch $@ $(VENV)/.demo
