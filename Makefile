# Every command of the project. `make help` prints them.

PORT ?= 8080
PROVIDER ?= local
UV_VERSION := 0.13.9
UV := $(shell command -v uv 2>/dev/null || echo .uv/bin/uv)
export UV_PYTHON_DOWNLOADS := never
RUN := .venv/bin/

.DEFAULT_GOAL := help
.PHONY: help setup dev test check check-sdk fmt sdk cluster cluster-down cluster-binaries chaos e2e bench verify-couchbase verify-strimzi clean

help: ## Print this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "make %-17s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/.ready ## Install everything into .venv/ (the other commands do it by themselves)

dev: setup ## Run Trackmate here: affiliate acme on http://127.0.0.1:8080 (PORT= to change)
	$(RUN)trackmate dev examples/01-first-affiliate --port $(PORT)

test: setup ## Run every test that this machine can run, and name those it cannot
	$(RUN)pytest -m "not alone" -n 4 --dist loadfile
	$(RUN)pytest -m alone

check: setup ## Lint, types, import rules, generated files up to date
	$(RUN)ruff check
	$(RUN)ruff format --check
	$(RUN)mypy
	$(RUN)lint-imports
	$(RUN)python docs/generate.py --check
	@if command -v npm >/dev/null; then $(MAKE) --no-print-directory check-sdk; else echo "No Node.js here: sdk/js is not checked."; fi

check-sdk: sdk/js/node_modules/.ready
	cd sdk/js && npx --no-install biome check .
	cd sdk/js && npx --no-install tsc -p core && npx --no-install tsc -p core/test

fmt: setup ## Format the code and mend what lint can mend
	$(RUN)ruff check --fix --exit-zero
	$(RUN)ruff format

sdk: ## Build the web SDK (Node 20), and put its script where ingest serves it
	cd sdk/js && npm ci --ignore-scripts --no-audit --no-fund && npm run build --workspaces --if-present
	cp sdk/js/core/dist/trackmate.js \
	  services/ingest/src/trackmate_ingest/web/trackmate-$$(node -p "require('./sdk/js/core/package.json').version").js

cluster: setup ## A real Kubernetes here with the CRDs, built from source once (or PROVIDER=kind, PROVIDER=existing)
	@$(RUN)python tests/harness/make_cluster.py up --provider $(PROVIDER)

cluster-down: setup ## Stop what `make cluster` started
	@$(RUN)python tests/harness/make_cluster.py down

cluster-binaries: setup ## Build that Kubernetes for the tests that run on one
	@$(RUN)python tests/harness/make_cluster.py binaries

chaos: setup ## The long fault runs: hundreds of kills, every fault of a cluster, millions of texts
	TRACKMATE_STATE_RUNS=40 TRACKMATE_SOAK_LOOKS=60 $(RUN)pytest tests/operator -k "order or nothing_is_written or died" --timeout 7200
	TRACKMATE_KILL_ROUNDS=100 TRACKMATE_TEXTS=3000000 $(RUN)pytest tests/e2e tests/ingest tests/consume -k "kill or differential or drain or chaos or failpoints or commits" --timeout 7200 -s

e2e: setup ## The tests of the whole way of an event alone, from a client to its sink
	$(RUN)pytest tests/e2e

bench: setup ## Measure: CPU per event against a null application, and what is sustained
	$(RUN)python bench/run.py

verify-couchbase: setup ## Ask a real Couchbase what the tests ask the stand-in: CONN=couchbases://HOST USERNAME=… PASSWORD=…
	@test -n "$(CONN)" || { echo "Where is it? make verify-couchbase CONN=couchbases://HOST USERNAME=… PASSWORD=…"; exit 2; }
	@TRACKMATE_COUCHBASE='$(CONN)' TRACKMATE_COUCHBASE_USERNAME='$(USERNAME)' \
	  TRACKMATE_COUCHBASE_PASSWORD='$(PASSWORD)' TRACKMATE_COUCHBASE_CA='$(CA)' \
	  TRACKMATE_COUCHBASE_MANAGEMENT='$(MANAGEMENT)' $(RUN)pytest -k couchbase tests/consume/test_stores.py \
	  tests/consume/test_couchbase_sink.py tests/consume/test_couchbase_isolation.py

verify-strimzi: setup ## Ask a real Strimzi what the tests ask the stand-in: CONTEXT=… BOOTSTRAP=HOST:PORT USERNAME=… PASSWORD=…
	@test -n "$(CONTEXT)" -a -n "$(BOOTSTRAP)" || { echo "Where is it? make verify-strimzi CONTEXT=… BOOTSTRAP=HOST:PORT USERNAME=… PASSWORD=…"; exit 2; }
	@TRACKMATE_STRIMZI_CONTEXT='$(CONTEXT)' TRACKMATE_STRIMZI_BOOTSTRAP='$(BOOTSTRAP)' \
	  TRACKMATE_STRIMZI_USERNAME='$(USERNAME)' TRACKMATE_STRIMZI_PASSWORD='$(PASSWORD)' TRACKMATE_STRIMZI_CA='$(CA)' \
	  TRACKMATE_STRIMZI_CLUSTER='$(CLUSTER)' TRACKMATE_STRIMZI_NAMESPACE='$(NAMESPACE)' \
	  $(RUN)pytest tests/operator/test_strimzi_standin.py tests/operator/test_strimzi_operator.py

clean: ## Remove what was installed and built here
	rm -rf .venv .uv

.venv/.ready: pyproject.toml uv.lock */pyproject.toml services/*/pyproject.toml | $(UV)
	$(UV) sync --locked --quiet --python "$$(command -v python3)"
	@touch $@

sdk/js/node_modules/.ready: sdk/js/package-lock.json
	cd sdk/js && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

.uv/bin/uv:
	python3 -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; this is " + sys.version)'
	python3 -m venv .uv || { echo "python3 cannot make a virtual environment: on Debian, apt-get install python3-venv"; exit 1; }
	.uv/bin/pip install --quiet "uv==$(UV_VERSION)"
