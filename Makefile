# make demo    train on UMLS with DANS, as long with uniform negatives, and by a sampled softmax; query, see, compare
# make test    linters, types, all tests
# make lint    linters and types alone
# make test-versions   the fast tests on Python 3.10 and 3.12, where they are here: an environment for each, in
#              .venv-3.10 and .venv-3.12 (VERSIONS='3.10 3.11' names others)
# make bench   our times and memory beside other libraries'
# make docs    the site, in docs/site
# make clean   remove what the above made, downloaded data and runs excepted
#
# PYTHON=python3.10 picks an interpreter, TORCH='torch==2.9.1' another torch; a build for your GPU can also be
# put into .venv by hand.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:

TORCH  ?= torch==2.13.0
VENV   ?= .venv
PYTHON ?= $(shell for p in python3.11 python3.10 python3.12 python3 python; do \
	$$p -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 13))' 2>/dev/null \
	&& echo $$p && break; done)

py  := $(VENV)/bin/python
pip := $(py) -m pip --disable-pip-version-check install --quiet --no-compile

# One thread each: the tests' graphs are tiny, and the cores are taken by other tests.
pytest: export OMP_NUM_THREADS := 1
# Tests start many processes, and none compiles again what another has compiled.
pytest: export PYTHONDONTWRITEBYTECODE :=

.PHONY: help demo test pytest test-versions lint bench docs clean

help:
	@sed -n '/^$$/q; s/^# \{0,1\}//p; s/^\#$$//p' Makefile

$(py):
	@$(or $(PYTHON),false) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 13))' \
		2>/dev/null || { echo "dans needs Python 3.10, 3.11 or 3.12, and" \
		"$(or $(PYTHON:%='%' is none of them),none was found):" \
		"name one with 'make PYTHON=python3.11'." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@$(pip) --upgrade pip || echo "pip could not be upgraded: the older one takes twice as long"

# pip would compile on one core, and what is never imported too. Without warnings, as DGL and others have escapes that
# Python warns of; the few modules that are for other Pythons fail silently.
compile = $(py) -W ignore -m compileall -qq -j 0 -x '$(uncompiled)' $(VENV)/lib/python3*/site-packages || true
uncompiled := /(tests?|pip|setuptools|mlflow|databricks|selenium|google|mypy|fontTools|pygments/lexers)/

# torch goes first, so that no other package chooses its build.
$(VENV)/torch.stamp: $(py)
	$(pip) '$(TORCH)'
	@touch $@

$(VENV)/%.stamp: pyproject.toml $(VENV)/torch.stamp
	$(pip) -e '.[$(extras)]'
	@$(compile)
	@touch $@

$(VENV)/demo.stamp:  extras := zoo,plots
$(VENV)/test.stamp:  extras := dev,zoo
$(VENV)/bench.stamp: extras := bench
$(VENV)/docs.stamp:  extras := docs

lint: $(VENV)/test.stamp
	$(py) -m ruff check .
	$(py) -m ruff format --check .
	$(py) -m mypy

# With `make -j2`, mypy has the core that the slowest test leaves, and the other way round.
test: lint pytest

# Work is stolen, not dealt out: tests of a module stay together, and what they share is made once.
pytest: $(VENV)/test.stamp
	$(py) -m pytest -n auto --maxprocesses 4 --dist worksteal

# Beside `make test`, which runs on one Python: two more would take longer than all of it.
VERSIONS ?= 3.10 3.12
test-versions: export OMP_NUM_THREADS := 1
test-versions: export PYTHONDONTWRITEBYTECODE :=
test-versions:
	@for version in $(VERSIONS); do \
		if ! python$$version -c '' 2>/dev/null; then echo "python$$version: not here"; continue; fi; \
		$(MAKE) --no-print-directory VENV=.venv-$$version PYTHON=python$$version .venv-$$version/test.stamp; \
		.venv-$$version/bin/python -m pytest -n auto --maxprocesses 4 --dist worksteal -m 'not slow'; \
	done

bench: $(VENV)/bench.stamp
	$(py) scripts/benchmark.py

# Material announces its successor at every start; nothing else is silenced.
docs: $(VENV)/docs.stamp
	NO_MKDOCS_2_WARNING=1 $(py) -m mkdocs build --strict --config-file docs/mkdocs.yml
	@echo "the site:     docs/site/index.html"

# One pre-trained run is trained further with DANS; as long, and under the same loss, with uniform
# negatives, which is the fair comparison; and with the control. What has been trained already is
# kept: --resume finds nothing left to do. The last line compares, and fails if a run misses what is
# recorded for it.
demo: pretrained := runs/pretrain/umls-distmult/seed0
demo: uniform    := runs/dans/umls-distmult-self-adversarial-filtered/seed0
demo: dans       := runs/dans/umls-distmult-dans-filtered/seed0
demo: control    := runs/dans/umls-distmult-self-loop-filtered/seed0
demo: softmax    := runs/baselines/umls-distmult-sampled-softmax-self-loop/seed0
demo: $(VENV)/demo.stamp
	$(py) scripts/fetch_datasets.py umls
	$(py) scripts/pretrain_rgcn.py --recipe umls-distmult --resume
	$(py) scripts/train_dans.py --recipe umls-distmult --sampler self-adversarial-filtered --resume
	$(py) scripts/train_dans.py --recipe umls-distmult --sampler dans-filtered --resume
	$(py) scripts/train_dans.py --recipe umls-distmult --sampler self-loop-filtered --resume
	$(py) scripts/train_baseline.py --recipe umls-distmult --loss sampled-softmax-self-loop --resume
	$(py) scripts/evaluate.py $(pretrained)
	$(py) scripts/evaluate.py $(uniform)
	$(py) scripts/evaluate.py $(dans)
	$(py) scripts/evaluate.py $(control)
	$(py) scripts/evaluate.py $(softmax)
	$(py) scripts/plot_diversity.py $(dans) --relation isa
	$(py) scripts/predict.py $(dans) --head steroid --relation affects --top 3
	$(py) scripts/report.py $(uniform) $(dans) $(control) $(softmax) $(pretrained) --out $(dans)/report.html
	@echo
	@echo "the picture:  $(dans)/tsne-isa.png"
	@echo "the report:   $(dans)/report.html, with the control and the pre-trained model"
	@echo
	$(py) scripts/compare.py --expected $(uniform) $(dans) $(softmax)

clean:
	rm -rf $(VENV) $(VENV)-3.* build dist docs/site .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
