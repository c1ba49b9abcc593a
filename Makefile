# Every target does its own set-up. Needs Python 3.11 to 3.13 and make; all else comes from requirements/*.txt.
.PHONY: help demo test test-fast lint format bench bench-memory bench-cluster manifests images cluster deploy lock clean
.DEFAULT_GOAL := help
SHELL := /bin/bash

PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	command -v $$p >/dev/null && $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null \
	&& echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Processes that run the tests; 0 is none but pytest's own
WORKERS ?= 2
# The tests start hundreds of Pythons: what one has compiled is kept for the next
export PYTHONDONTWRITEBYTECODE :=

help: ## Show this
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(READY): requirements/dev.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo 'Python 3.11 to 3.13 is needed: on Debian or Ubuntu, apt-get install python3 python3-venv'; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo 'the venv module is needed: apt-get install python3-venv'; exit 1; }
	@echo 'setting up .venv (about 2 GB: Ray, MLflow and the tools; a few minutes the first time)'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -q --disable-pip-version-check 'uv>=0.8'
	@$(BIN)/uv pip install -q --compile-bytecode --python $(BIN)/python --require-hashes -r requirements/dev.txt
	@$(BIN)/uv pip install -q --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@

demo: $(READY) ## Watch models decide a stream of card transactions, end to end
	@POINTSMAN_HOME="$${POINTSMAN_HOME:-$(CURDIR)/.pointsman}" $(BIN)/pointsman demo

test: $(READY) ## Run all tests in WORKERS processes (half an hour with two: real PostgreSQL, MLflow, Ray, Kubernetes; its first run builds Kubernetes)
	@$(BIN)/pytest -n $(WORKERS)

test-fast: $(READY) ## Run the tests that take under a minute together
	@$(BIN)/pytest -n $(WORKERS) -m 'not slow'

lint: $(READY) ## Check style, types, layers, and what is generated
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m pointsman.api.crds --check
	@$(BIN)/python -m pointsman.api.reasons_page --check
	@$(BIN)/python -m pointsman_operator.manifests --check
	@$(BIN)/python -m pointsman_operator.chart --check
	@$(BIN)/python -m pointsman_operator.supported --check
	@$(BIN)/python -m pointsman_operator.network_page --check

format: $(READY) ## Format the code
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

bench: $(READY) ## Measure beside KServe, Triton, Ray Serve, Feast and kopf (half an hour; needs wrk, Java and Maven for Kafka, Go for Kubernetes); writes docs/performance.md and docs/certificates.md
	@command -v wrk >/dev/null || { echo 'wrk makes the load: on Debian or Ubuntu, apt-get install wrk'; exit 1; }
	@$(BIN)/python -m pointsman_serving.kserve_python.environment
	@$(BIN)/python -m pointsman_serving.triton.environment
	@$(BIN)/python benchmarks/stream.py
	@$(BIN)/python benchmarks/features.py
	@$(BIN)/python benchmarks/monitors.py
	@$(BIN)/python benchmarks/peers/run.py
	@$(BIN)/python benchmarks/certificates.py
	@$(BIN)/python benchmarks/seasons.py
	@$(BIN)/python benchmarks/overhead.py
	@PYTHONPATH=tests/cluster:images $(BIN)/python benchmarks/kafka.py
	@PYTHONPATH=tests/cluster:images $(BIN)/python benchmarks/reconcile.py
	@$(BIN)/python benchmarks/page.py

bench-memory: $(READY) ## Measure: a million events, and what memory does meanwhile (10 min)
	@$(BIN)/python benchmarks/memory.py
	@$(BIN)/python benchmarks/page.py

bench-cluster: $(READY) ## Measure the fraud example on a real node beside the local runtime (12 min; what `make cluster` needs)
	@$(BIN)/python -m pointsman_serving.triton.environment
	@PYTHONPATH=tests/cluster:images:benchmarks/peers $(BIN)/python benchmarks/cluster.py
	@$(BIN)/python benchmarks/page.py

manifests: $(READY) ## Generate what is made from code: kinds, runtimes, admission, the chart, the pages of reasons, versions and the network
	@$(BIN)/python -m pointsman.api.crds
	@$(BIN)/python -m pointsman.api.reasons_page
	@$(BIN)/python -m pointsman_operator.manifests
	@$(BIN)/python -m pointsman_operator.chart
	@$(BIN)/python -m pointsman_operator.supported
	@$(BIN)/python -m pointsman_operator.network_page

images: $(READY) ## Build the images as OCI archives, without a container engine (Debian 12 for amd64; a few minutes once)
	@PYTHONPATH=images $(BIN)/python -m pointsman_images

cluster: $(READY) ## Run a Kubernetes of one node with KServe, MLflow and the operator, until Ctrl-C (root; 25 minutes the first time)
	@PYTHONPATH=images:tests/cluster $(BIN)/python -m harness.development

deploy: ## Install into the cluster of your current kubectl context, which has KServe
	@manifests/deploy.sh

lock: $(READY) ## Resolve requirements/*.txt anew
	@PATH="$(CURDIR)/$(BIN):$$PATH" requirements/lock.sh

clean: ## Remove the environment and the demo's state
	@test ! -x $(BIN)/pointsman || POINTSMAN_HOME="$${POINTSMAN_HOME:-$(CURDIR)/.pointsman}" $(BIN)/pointsman down || true
	@rm -rf $(VENV) .pointsman
