# `make demo` and `make test` are all a newcomer needs; both prepare .venv first, once.
.DEFAULT_GOAL := help
.PHONY: help setup demo test check bench fuzz soak lock clean

ARGS ?=
IN_TWO := --numprocesses=2 --dist=worksteal
# The choice of the first set-up holds until another is made.
TORCH ?= $(if $(wildcard .venv/.for-cpu),cpu,cuda)
TORCH_INDEX ?=
ifeq ($(filter $(TORCH),cuda cpu),)
$(error TORCH=$(TORCH): give TORCH=cuda or TORCH=cpu)
endif
# Said before an existing .venv is replaced.
ifeq ($(TORCH)$(TORCH_INDEX)$(wildcard .venv/.for-cpu)$(shell uname -s),cpuLinux)
$(error TORCH=cpu needs TORCH_INDEX, the address of PyTorch's wheel index for the CPU: its page \
'Start locally' shows it for pip on Linux with the compute platform CPU)
endif

PYTHONS := python3 python3.14 python3.13 python3.12 python3.11
SUITS := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))
# Asked only where .venv is made: with .venv in place no Python needs to be on the PATH.
PYTHON ?= $(shell for p in $(PYTHONS); do $$p -c '$(SUITS)' 2>/dev/null && echo $$p && break; done)
UV := $(or $(wildcard .venv/bin/uv),uv)

help:
	@echo "make demo    run the main job on embedded parts  (ARGS='--max-events 500 --json')"
	@echo "make test    run the tests                       (ARGS='tests/unit -k sources')"
	@echo "make check   ruff and mypy"
	@echo "make bench   run the benchmarks"
	@echo "make fuzz    parsers against inputs almost right  (ARGS='--inputs 10000000')"
	@echo "make soak    faults against a real deployment     (ARGS='--minutes 30 --seed 1')"
	@echo "make setup   prepare .venv only                  (TORCH=cpu TORCH_INDEX=... without CUDA)"
	@echo "make lock    resolve requirements/*.txt again    (ARGS=--upgrade for newer versions)"
	@echo "make clean   remove caches; .venv stays"

setup: .venv/.ready

# --seconds is what makes the demo end by itself when its feed is done.
demo: .venv/.ready
	@.venv/bin/bellwether demo $(or $(ARGS),--seconds 300)

# Many tests wait for a server or a deadline: two processes, each with servers of its own, overlap.
test: .venv/.ready
	@.venv/bin/python -m pytest $(or $(ARGS),$(IN_TWO))

check: .venv/.ready
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

bench: .venv/.ready
	@.venv/bin/python -m bench $(ARGS)

fuzz: .venv/.ready
	@.venv/bin/python -m tests.fuzz $(ARGS)

soak: .venv/.ready
	@.venv/bin/python -m tests.acceptance.soak $(ARGS)

.venv/.ready: .venv/.for-$(TORCH) requirements/dev.txt requirements/install pyproject.toml
	@echo "Installing the locked packages into .venv; README.md says what the first time downloads."
	@requirements/install .venv/bin/python requirements/dev.txt $(TORCH) $(TORCH_INDEX)
	@.venv/bin/python -m pip --disable-pip-version-check install --quiet \
		--no-deps --no-build-isolation --editable .
	@touch $@
	@echo "Ready: .venv/bin/bellwether"

# The other build of torch has the same version, so pip would keep it: a new choice is a new .venv.
.venv/.for-$(TORCH):
	@python='$(PYTHON)'; \
	if [ -z "$$python" ] || ! "$$python" -c '$(SUITS)'; then \
		echo "Needs Python 3.11 to 3.14, found $${python:-none} (of $(PYTHONS))." >&2; \
		echo "Install one, or name it: make setup PYTHON=/path/to/python3.12" >&2; \
		exit 2; \
	fi; \
	if ! "$$python" -c 'import ensurepip, venv' 2>/dev/null; then \
		echo "$$python cannot make virtual environments." >&2; \
		echo "On Debian or Ubuntu: apt-get install python3-venv" >&2; \
		exit 2; \
	fi; \
	echo "Making .venv with $$("$$python" --version)"; \
	"$$python" -m venv --clear .venv
	@touch $@

LOCK := pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	--no-emit-index-url --constraints requirements/constraints.txt --excludes requirements/excludes.txt
lock:
	@command -v $(UV) >/dev/null || { echo "Needs uv: .venv/bin/pip install uv" >&2; exit 2; }
	$(UV) $(LOCK) $(ARGS) --extra dev --output-file requirements/dev.txt pyproject.toml
	$(UV) $(LOCK) --constraints requirements/dev.txt --output-file requirements/runtime.txt pyproject.toml
	$(UV) $(LOCK) $(ARGS) --output-file requirements/peers.txt requirements/peers.in

clean:
	rm -rf .cache .pytest_cache .mypy_cache .ruff_cache .hypothesis build *.egg-info
	find . -name __pycache__ -not -path './.venv/*' -type d -prune -exec rm -rf {} +
