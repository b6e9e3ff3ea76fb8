# Two commands do everything: `make demo` finds the garments of a photo, `make test` runs the tests.
# Each makes .venv when there is none and uses it again when there is.
PYTHON ?= python3
VENV ?= .venv
# Further flags for pip, for example an index with CPU-only builds of torch (the usual one brings CUDA, gigabytes).
PIP_FLAGS ?=

BIN := $(VENV)/bin
BACKEND := client/fashioncrop/_embedded/backends/onnxruntime
SERVES := $(VENV)/.serves
INSTALLED := $(VENV)/.installed
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_FLAGS) -c constraints.txt
OUT ?= demo-output
AS_ROOT := $(if $(filter 0,$(shell id -u)),,sudo)
# A server of its own, so that a demo never stops one that is running.
DEMO_STATE := $(abspath $(VENV))/demo-server

.PHONY: demo test check help

help: ## What can be made.
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

# What serving needs; torch is not in it.
$(SERVES): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(None if (3, 11) <= sys.version_info[:2] <= (3, 12) else \
	    "The embedded server needs Python 3.11 or 3.12 (numpy below 2). Name one: make PYTHON=python3.12 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(INSTALL) -e '.[server]'
	touch $@

$(INSTALLED): $(SERVES)
	$(INSTALL) -e '.[server,export,training,describe,batch,redis,dev]'
	touch $@

demo: $(INSTALLED) ## Make the engines, start the server, find the garments of a photo.
	$(BIN)/fashioncrop-export --models random
	@echo 'Until trained small checkpoints ship with the project, the demo runs the full architectures with random weights:'
	@echo 'every stage is real, and the boxes mean nothing. With a model hub in reach: fashioncrop-export --models full'
	@set -e; export FASHIONCROP_STATE=$(DEMO_STATE); \
	photo=$$($(BIN)/python -c 'import pathlib, skimage; print(pathlib.Path(skimage.__file__).parent / "data" / "astronaut.png")'); \
	trap '$(BIN)/fashioncrop down' EXIT; \
	$(BIN)/fashioncrop up; \
	$(BIN)/fashioncrop analyze "$$photo" --max-garments 8 --no-cache --out $(OUT) --report $(OUT)/report.html

test: $(INSTALLED) ## Run every test; installs the two Debian packages that they start, where they are missing.
	@command -v chromium >/dev/null && command -v redis-server >/dev/null || \
	    { $(AS_ROOT) apt-get -qq update && $(AS_ROOT) apt-get -qq install -y --no-install-recommends chromium redis-server; }
	$(BIN)/python -m pytest

check: $(INSTALLED) ## Style and types.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	MYPYPATH=$(BACKEND) $(BIN)/mypy $(wildcard $(BACKEND)/*.py)
