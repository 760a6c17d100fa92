# Everything runs in .venv, which the first call makes from pyproject.toml and constraints.txt; peers in .venv-peers.

PYTHON ?= python3
VENV_PYTHON := .venv/bin/python

# The fdl of this checkout is what runs, whatever the shell, or a .venv copied along with a checkout, says.
export PYTHONPATH := $(CURDIR)

.PHONY: help demo test test-slow test-all lint types format bench peers docs lock upgrade clean
.NOTPARALLEL:

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-9s %s\n", $$1, $$2 }' Makefile

demo: .venv/ready ## train a network on handwritten digits
	@$(VENV_PYTHON) examples/digits.py $(ARGS)

test: .venv/ready ## run the tests on all cores; ARGS="-n0 -k relu" goes to pytest
	@$(VENV_PYTHON) -m pytest -n auto --dist loadgroup $(ARGS)

test-slow: override ARGS += -m "slow and not sweep"
test-slow: test ## run the others: every check on every case, every example

test-all: override ARGS += -m "slow or sweep or not slow"
test-all: test ## run all tests, and try every fault in every rule

lint: .venv/tools ## look for mistakes and for code that is not formatted
	@$(VENV_PYTHON) -m ruff check
	@$(VENV_PYTHON) -m ruff format --check

types: .venv/tools ## check the type annotations
	@$(VENV_PYTHON) -m mypy

format: .venv/tools ## format the code, and fix what can be fixed safely
	@$(VENV_PYTHON) -m ruff check --fix
	@$(VENV_PYTHON) -m ruff format

bench: WHAT ?= rules
bench: .venv/ready ## measure the rules against automatic differentiation, or WHAT=networks, optimizers, training
	@$(VENV_PYTHON) benchmarks/$(WHAT).py $(ARGS)

peers: .venv-peers/ready ## measure training steps against Flax, Equinox, Haiku and PyTorch, for an hour
	@PYTHONPATH=$(CURDIR):$(CURDIR)/benchmarks .venv-peers/bin/python -m peers $(ARGS)

# Each by its name: pdoc leaves out what is not in the __all__ of its package, and warns of what it has already.
docs: MODULES = $(shell find fdl -name '*.py' | LC_ALL=C sort | sed 's#/__init__##; s#\.py$$##; s#/#.#g')
docs: .venv/tools ## write the reference to build/docs/index.html
	@$(VENV_PYTHON) -W "ignore:The module specification" -m pdoc --math --docformat google --output-directory build/docs $(MODULES)
	@echo "build/docs/index.html"

# uv has an environment of its own: .venv cannot be made while pyproject.toml and constraints.txt disagree.
lock: ## make constraints.txt fit pyproject.toml again, changing no more pins than that takes
	@$(check_python)
	@"$(PYTHON)" -m venv --clear build/lock
	@build/lock/bin/python -m pip install --quiet --disable-pip-version-check uv
	@build/lock/bin/python -m uv pip compile --quiet --universal --all-extras --python-version 3.11 --no-annotate \
		--custom-compile-command "make lock" $(UPGRADE) --output-file constraints.txt pyproject.toml

upgrade: UPGRADE := --upgrade
upgrade: lock ## the same, with the newest version of everything

clean: ## remove all that make has made, .venv included
	@rm -rf .venv .venv-peers build .mypy_cache .pytest_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# .venv/ready has what the library, its tests and its examples need; .venv/tools has everything.
.venv/ready: EXTRAS := bench,data,test,train
.venv/ready: pyproject.toml constraints.txt
	$(install)
	@touch $@

.venv/tools: EXTRAS := bench,data,dev,docs,test,train
.venv/tools: pyproject.toml constraints.txt
	$(install)
	@touch .venv/ready $@

# PyTorch comes from PyPI, with CUDA on Linux; PIP_EXTRA_INDEX_URL can name an index that has it for CPUs alone.
.venv-peers/ready: EXTRAS := bench,peers
.venv-peers/ready: pyproject.toml constraints.txt
	$(install)
	@touch $@

# Both files are missing while an installation is under way. Whoever finds .venv/ready missing starts from nothing,
# because an installation that was interrupted may have left anything behind.
define install
@test -f $(@D)/ready || { $(check_python); }
@echo "Setting up $(@D) for $(EXTRAS) (once) ..."
@test -f $(@D)/ready || "$(PYTHON)" -m venv --clear $(@D)
@rm -f $(@D)/ready $(@D)/tools
@$(@D)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[$(EXTRAS)]"
endef

define check_python
"$(PYTHON)" -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' 2> /dev/null || { \
echo "fdl needs Python 3.11 or newer with venv and pip, which $(PYTHON) ($$("$(PYTHON)" --version 2>&1)) is not:" \
"install it (Debian: apt install python3-venv) or name another, as in: make PYTHON=python3.12 $(MAKECMDGOALS)"; \
exit 1; }
endef
