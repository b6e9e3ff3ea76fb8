# Two commands do everything: `make demo` finds the garments of drawn people, `make test` runs the tests.
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
BENCH_OUT ?= bench-output
PERF_ANALYZER := $(VENV)/perf_analyzer/bin/perf_analyzer
BENCH := FASHIONCROP_PERF_ANALYZER=$(PERF_ANALYZER) $(BIN)/python benchmarks

.PHONY: demo test check bench bench-full help

help: ## What can be made.
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

# What the demo needs; torch is not in it, because the small engines are shipped.
$(SERVES): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(None if (3, 11) <= sys.version_info[:2] <= (3, 12) else \
	    "The embedded server needs Python 3.11 or 3.12 (numpy below 2). Name one: make PYTHON=python3.12 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(INSTALL) -e '.[server]'
	touch $@

$(INSTALLED): $(SERVES)
	$(INSTALL) -e '.[server,export,training,describe,batch,catalogue,redis,gateway,jobs,traces,bench,dev]'
	touch $@

demo: $(SERVES) ## Start the server with the shipped small models and find the garments of drawn people.
	@set -e; export FASHIONCROP_STATE=$(DEMO_STATE); \
	$(BIN)/fashioncrop-export --models paperdoll --repository $(DEMO_STATE)/models; \
	photos=$$($(BIN)/fashioncrop-paperdoll photos $(OUT)/photos); \
	trap '$(BIN)/fashioncrop down' EXIT; \
	$(BIN)/fashioncrop up --repository $(DEMO_STATE)/models; \
	$(BIN)/fashioncrop analyze $$photos --no-cache --out $(OUT) --report $(OUT)/report.html

test: $(INSTALLED) ## Run every test; installs the two Debian packages that they start, where they are missing.
	@command -v chromium >/dev/null && command -v redis-server >/dev/null || \
	    { $(AS_ROOT) apt-get -qq update && $(AS_ROOT) apt-get -qq install -y --no-install-recommends chromium redis-server; }
	$(BIN)/python -m pytest

# The same questions on the same small models, in minutes and in hours; `bench-full` also on models of full size.
# To publish them: make bench-full BENCH_OUT=benchmarks/results && .venv/bin/python benchmarks/tables.py
bench: $(INSTALLED) $(PERF_ANALYZER) ## Measure speed, the short set: minutes.
	$(BENCH)/pipeline.py --against usual --against documented --clients 1,8 --rounds 1 --seconds 5 --out $(BENCH_OUT)
	$(BENCH)/overhead.py --requests 16 --seconds 5 --out $(BENCH_OUT)
	$(BENCH)/models.py --clients 1,2 --rounds 1 --seconds 1 --out $(BENCH_OUT)
	$(BENCH)/scale.py --groups threads,batch --rounds 1 --seconds 3 --out $(BENCH_OUT)
	@# The page is made whether or not the server stayed as it was.
	$(BENCH)/soak.py --seconds 60 --find 5 --out $(BENCH_OUT); soaked=$$?; \
	    $(BENCH)/tables.py --results $(BENCH_OUT) --page $(BENCH_OUT)/BENCHMARKS.md && exit $$soaked

bench-full: $(INSTALLED) $(PERF_ANALYZER) ## Measure speed, everything, on small models and on models of full size: hours.
	$(BENCH)/pipeline.py --compile-within 1800 --out $(BENCH_OUT)
	$(BENCH)/pipeline.py --against documented --size 384x512 --queue-delay-ms 20 \
	    --name pipeline-paperdoll-waiting --out $(BENCH_OUT)
	$(BENCH)/pipeline.py --models random --variant int8 --photos 2 --seconds 30 --compile-within 3600 --out $(BENCH_OUT)
	$(BENCH)/overhead.py --out $(BENCH_OUT)
	$(BENCH)/overhead.py --models random --photos 4 --requests 12 --clients 2 --seconds 30 --out $(BENCH_OUT)
	$(BENCH)/models.py --out $(BENCH_OUT)
	$(BENCH)/models.py --models random --clients 1,2 --rounds 2 --seconds 10 --no-transport --out $(BENCH_OUT)
	$(BENCH)/scale.py --out $(BENCH_OUT)
	$(BENCH)/scale.py --models random --groups threads,instances,batch --clients 4 --photos 2 --rounds 1 --seconds 30 \
	    --out $(BENCH_OUT)
	@# The page is made whether or not the server stayed as it was.
	$(BENCH)/soak.py --out $(BENCH_OUT); soaked=$$?; \
	    $(BENCH)/tables.py --results $(BENCH_OUT) --page $(BENCH_OUT)/BENCHMARKS.md && exit $$soaked

# NVIDIA's program comes in a wheel of the client of another version, which must not get into the environment.
$(PERF_ANALYZER): | $(INSTALLED)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_FLAGS) --no-deps --upgrade \
	    --target $(VENV)/perf_analyzer tritonclient==2.51.0

check: $(INSTALLED) ## Style and types.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	MYPYPATH=$(BACKEND) $(BIN)/mypy $(wildcard $(BACKEND)/*.py)
	$(BIN)/mypy benchmarks/pipeline.py
