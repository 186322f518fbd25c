# Every target installs what it needs. `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
PY := .venv/bin/python
# What outlives a clone: mypy's findings, as the cluster's programs do. Without them it reads everything, 30 s.
export MYPY_CACHE_DIR := $(or $(PADDOCK_CACHE),$(HOME)/.cache/paddock)/mypy
# Some machines forbid Python to keep bytecode. The tests start hundreds of processes, each of which would compile.
unexport PYTHONDONTWRITEBYTECODE
# A thread for each lane: with more they wait for cores, and burn those that they have.
LANES := PYTHONHASHSEED=0 OMP_NUM_THREADS=1 $(PY) -m pytest -n 2 --dist loadscope --no-loadscope-reorder
# One is a module of the others, the other wants the kubeconfig of a cluster.
BENCH_APART := tests/bench/qwen_shape.py tests/bench/operator_cost.py
CLUSTER := python3 tests/local_cluster/cluster.py

.PHONY: help install install-cluster demo demo-down test test-long test-unit test-cluster test-images lint format generate lock train bench

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

install: .venv/.installed ## make .venv with everything a developer or `paddock serve` needs

.venv/.installed: requirements.lock pyproject.toml $(wildcard kernels/*/*.cpp kernels/*/*.h kernels/*.cpp) .ci/install
	@.ci/install

install-cluster: install ## system packages and the programs of the local Kubernetes (cold: about 10 minutes on 2 cores)
	@$(CLUSTER) install --environments

demo: install ## the main job on a real Kubernetes: install, apply, ask, print
	@PYTHONPATH=tests/support $(PY) tests/e2e/demo.py

demo-down: ## remove the demo's cluster and everything it made
	@$(CLUSTER) down --name demo --purge

lint: install ## ruff, mypy strict, one-way imports
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports --no-cache

format: install ## rewrite the sources in the house format
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

test: lint install-cluster ## everything: lint, types, unit, end-to-end and real-cluster tests
	$(LANES) -v --ignore=tests/images

test-unit: lint ## what needs no cluster
	$(LANES) tests/unit

test-cluster: install-cluster ## the real-cluster tests alone
	$(PY) -m pytest -v tests/cluster

test-long: install-cluster ## the tests that take minutes: long random runs, soaks, every family of transformers
	$(PY) -m pytest -v -m long

test-images: install-cluster ## build the Dockerfile's two targets and run them
	$(PY) -m pytest -v tests/images

generate: install ## write the CustomResourceDefinition, docs/arguments.md and docs/metrics.md from what declares them
	$(PY) -m paddock.operator.crd
	$(PY) -m paddock.engine.config.docs
	$(PY) -m paddock.server.metric_page

train: install ## train the tiny model again (under 15 minutes on 2 quiet cores)
	$(PY) tests/models/tiny/train.py

lock: ## resolve requirements.lock again from pyproject.toml
	.venv/bin/uv pip compile -q --upgrade pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes \
	  --no-annotate --no-header --no-emit-index-url --no-emit-package paddock -o requirements.lock

bench: install ## every benchmark, as tables (run on a quiet machine)
	@for script in $(filter-out $(BENCH_APART), $(wildcard tests/bench/*.py)); do echo "== $$script"; $(PY) $$script; done
