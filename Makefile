# Everything that a clone needs is set up by these targets, in .venv; nothing else on the machine is changed.
PYTHON ?= python3
APP_PORT ?= 8000
DAPR_HTTP_PORT ?= 3500
BIN := $(CURDIR)/.venv/bin
READY := .venv/.ready
# Some machines forbid it: then each run would compile every test anew, which takes as long as a tenth of them.
export PYTHONDONTWRITEBYTECODE =

.DEFAULT_GOAL := help
.PHONY: help setup run test check bench soak protos lock tools

help: ## print the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## make .venv, with wakeful and all that its tests need

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || (apt-get update -q && apt-get install -qy python3-venv)
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

run: $(READY) ## start the sample app with wakeful beside it: a job fires into it every two seconds
	cd examples/hello && TICK="@every 2s" $(BIN)/wakeful run --app-id hello --app-port $(APP_PORT) \
	  --dapr-http-port $(DAPR_HTTP_PORT) -- $(BIN)/uvicorn main:app --port $(APP_PORT)

# No package registry of Python has a D-Bus daemon, nor the commands that people call it with.
tools:
	@missing=; for each in dbus-daemon:dbus busctl:systemd gdbus:libglib2.0-bin; do \
	  command -v $${each%%:*} > /dev/null || missing="$$missing $${each##*:}"; done; \
	  [ -z "$$missing" ] || (apt-get update -q && apt-get install -qy --no-install-recommends $$missing)

test: $(READY) tools ## run every test
	$(BIN)/python -m pytest -q -n 2 --dist loadfile

check: $(READY) tools ## lint, types, contracts and the quick tests: before each commit
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q -n 2 --dist loadfile -m "not slow"

bench: $(READY) ## measure, and write the figures to bench/results
	$(BIN)/python bench/run.py

soak: $(READY) tools ## the tests that need longer than CI has
	$(BIN)/python -m pytest -q soak

protos: $(READY) ## compile the descriptions of Dapr's messages
	$(BIN)/python -m grpc_tools.protoc -I src/wakeful/protos --descriptor_set_out=src/wakeful/protos/messages.binpb \
	  $(addprefix src/wakeful/protos/,common.proto health.proto rpc.proto runtime.proto scheduler.proto)

lock: ## pin the newest dependencies that pyproject.toml allows
	$(BIN)/pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --group dev --generate-hashes --no-header \
	  --no-emit-index-url --upgrade -o requirements.lock pyproject.toml
