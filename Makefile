# Every command of the project. `make help` lists them.

PYTHON ?= python3
PORT ?= 8000
venv := .venv
installed := $(venv)/.installed
testable := $(venv)/.testable
auditable := $(venv)/.auditable
node := $(venv)/.node
e2e := better-auth browser typescript
with_node := PATH="$(CURDIR)/$(venv)/bin:$$PATH" REDOCLY_TELEMETRY=off
install := $(venv)/bin/pip install --quiet --disable-pip-version-check --no-deps
compile := $(venv)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
  --no-header --no-annotate --no-emit-index-url --upgrade

.DEFAULT_GOAL := help
.PHONY: mutants help dev audit test cover contract e2e check bench bench-keys openapi format lock npm-lock clean

help: ## List the commands
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

dev: $(installed) ## Run the API and an embedded Postgres on PORT (8000); BETTER_AUTH=URL takes its tokens
	@exec $(venv)/bin/todo-api dev --port $(PORT) $(if $(BETTER_AUTH),--better-auth $(BETTER_AUTH))

audit: $(auditable) ## Look at the database of MIGRATION_DATABASE_URL for weak spots; ARGS="--format text"
	@$(venv)/bin/todo-api audit $(ARGS)

test: $(testable) ## Run the tests; ARGS="-k pattern" narrows them
	$(venv)/bin/pytest -n auto --maxprocesses 4 --dist worksteal --ignore tests/contract --ignore tests/e2e $(ARGS)
	@echo "Left out: make contract and make e2e, which bring Node.js along"

cover: $(testable) ## Run the tests, and fail when less than 95 % of service/ was run
	$(MAKE) test ARGS="--cov --cov-fail-under 95 $(ARGS)"

contract: $(testable) tests/contract/node_modules ## Lint openapi.json, and try the running server by it as two users
	cd tests/contract && $(with_node) npm run --silent lint
	$(venv)/bin/pytest -s tests/contract $(ARGS)

e2e: $(testable) $(e2e:%=tests/e2e/%/node_modules) ## Better Auth, a typed client and a browser, against the service
	cd tests/e2e/better-auth && $(with_node) npm run --silent build
	cd tests/e2e/typescript && $(with_node) npm run --silent build
	$(with_node) $(venv)/bin/pytest tests/e2e $(ARGS)

mutants: $(testable) $(auditable) ## Weaken the defences in every way, and count who notices; ARGS="--only wall"
	$(venv)/bin/python -m mutants.run $(ARGS)

check: $(testable) ## Formatting, lint, types, imports
	$(venv)/bin/ruff format --check .
	$(venv)/bin/ruff check .
	$(venv)/bin/mypy
	$(venv)/bin/lint-imports

bench: $(testable) ## CPU of a request, compared with BASE=commit; ARGS="--rounds 5"
	@test -n "$(BASE)" || { echo "Which commit? make bench BASE=main" >&2; exit 2; }
	$(venv)/bin/python benchmarks/compare_commits.py $(BASE) $(ARGS)

bench-keys: $(testable) tests/e2e/better-auth/node_modules ## Latency of known keys while made-up ones are tried
	$(with_node) $(venv)/bin/python -m benchmarks.key_flood $(ARGS)

openapi: $(installed) ## Write openapi.json anew, from the code
	$(venv)/bin/todo-api openapi > openapi.json.new && mv openapi.json.new openapi.json

format: $(testable) ## Format, and mend what ruff can mend
	$(venv)/bin/ruff check --fix .
	$(venv)/bin/ruff format .

lock: $(installed) ## Write the lock files anew from pyproject.toml
	$(venv)/bin/pip install --quiet uv
	$(compile) pyproject.toml --extra dev --output-file requirements.lock
	$(compile) pyproject.toml --extra dev --extra test --constraint requirements.lock --output-file requirements-test.lock
	$(compile) pyproject.toml --extra audit --constraint requirements.lock --output-file requirements-audit.lock
	$(compile) --group node --output-file requirements-node.lock
	$(MAKE) npm-lock

npm-lock: $(node) ## Write the lock files of npm anew from each package.json, without addresses
	for folder in $(dir $(wildcard tests/*/package.json tests/e2e/*/package.json)); do \
	  (cd $$folder && $(with_node) npm install --package-lock-only --ignore-scripts --loglevel=error) || exit 1; \
	  $(venv)/bin/python -c 'import json, sys; lock = json.load(open(sys.argv[1])); \
	    [package.pop("funding", None) for package in lock["packages"].values()]; \
	    open(sys.argv[1], "w").write(json.dumps(lock, indent=2) + "\n")' $$folder/package-lock.json || exit 1; \
	done

clean: ## Remove the environments and the development data
	rm -rf $(venv) .dev tests/*/node_modules tests/e2e/*/node_modules

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

# What `todo-api audit` proves the policies with.
$(auditable): $(installed) requirements-audit.lock
	$(install) --require-hashes --requirement requirements-audit.lock
	@touch $@

$(node): $(installed) requirements-node.lock
	$(install) --require-hashes --requirement requirements-node.lock
	@touch $@

# Exact versions with their hashes: `npm ci` fails when package.json asks for others. No package runs a script.
%/node_modules: %/package.json %/package-lock.json $(node)
	cd $* && $(with_node) npm ci --ignore-scripts --loglevel=error
	@touch $@
