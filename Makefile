# Every command of the project. `make help` lists them.

PYTHON ?= python3
PORT ?= 8000
venv := .venv
installed := $(venv)/.installed
testable := $(venv)/.testable
linters := tests/contract/node_modules/.installed
install := $(venv)/bin/pip install --quiet --disable-pip-version-check --no-deps
compile := $(venv)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
  --no-header --no-annotate --no-emit-index-url pyproject.toml

.DEFAULT_GOAL := help
.PHONY: help dev test cover contract check bench openapi format lock clean

help: ## List the commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

dev: $(installed) ## Run the API and an embedded Postgres on PORT (8000)
	@exec $(venv)/bin/todo-api dev --port $(PORT)

test: $(testable) ## Run the tests; ARGS="-k pattern" narrows them
	$(venv)/bin/pytest -n auto --maxprocesses 4 --dist worksteal --ignore tests/contract --ignore tests/e2e $(ARGS)

cover: $(testable) ## Run the tests, and fail when less than 95 % of service/ was run
	$(MAKE) test ARGS="--cov --cov-fail-under 95 $(ARGS)"

contract: $(testable) $(linters) ## Lint openapi.json, and try the running server by it as two users
	cd tests/contract && npx --no-install spectral lint ../../openapi.json --ruleset spectral.yaml --fail-severity hint
	cd tests/contract && REDOCLY_TELEMETRY=off npx --no-install redocly lint ../../openapi.json --config redocly.yaml
	$(venv)/bin/pytest -s tests/contract $(ARGS)

check: $(testable) ## Formatting, lint, types, imports
	$(venv)/bin/ruff format --check .
	$(venv)/bin/ruff check .
	$(venv)/bin/mypy
	$(venv)/bin/lint-imports

bench: $(testable) ## CPU of a request, compared with BASE=commit; ARGS="--rounds 5"
	@test -n "$(BASE)" || { echo "Which commit? make bench BASE=main" >&2; exit 2; }
	$(venv)/bin/python benchmarks/compare_commits.py $(BASE) $(ARGS)

openapi: $(installed) ## Write openapi.json anew, from the code
	$(venv)/bin/todo-api openapi > openapi.json.new && mv openapi.json.new openapi.json

format: $(testable) ## Format, and mend what ruff can mend
	$(venv)/bin/ruff check --fix .
	$(venv)/bin/ruff format .

lock: $(installed) ## Write the lock files anew from pyproject.toml
	$(venv)/bin/pip install --quiet uv
	$(compile) --upgrade --extra dev --output-file requirements.lock
	$(compile) --upgrade --extra dev --extra test --constraint requirements.lock --output-file requirements-test.lock

clean: ## Remove the environment and the development data
	rm -rf $(venv) .dev

# What runs, and what tests it. Every hash is checked, and nothing is built but this project itself.
$(installed): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv $(venv)
	$(install) --require-hashes --requirement requirements.lock
	$(install) --no-build-isolation --editable .
	@touch $@

$(testable): $(installed) requirements-test.lock
	$(install) --require-hashes --requirement requirements-test.lock
	@touch $@

# Each folder with a package.json has what its lock file says, and nothing else.
%/node_modules/.installed: %/package-lock.json %/package.json
	cd $* && npm ci --no-audit --no-fund --ignore-scripts --loglevel=error
	@touch $@
