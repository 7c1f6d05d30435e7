# The verbs of this course; `make` with no argument lists them.
# Every verb first makes the environment it needs, in .venv, once: a second call installs nothing.

# The first Python of the right version; choose another with `make PYTHON=/path/to/python lab`.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python3.10 python; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null && echo "$$p" && break; done)
PY    := .venv/$(if $(filter Windows_NT,$(OS)),Scripts,bin)/python
STAMP := .venv/installed
# Kernels come from this environment, never from one the user installed elsewhere.
export JUPYTER_PREFER_ENV_PATH := 1

.PHONY: help lab test lint format data notebooks browser accessibility matrix bench mutants classroom clean
.DEFAULT_GOAL := help

help: ## list the verbs
	@echo "make VERB, where VERB is one of:"
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  \1~\2/p' Makefile | tr '~' '\t' | expand -t 17

lab: $(STAMP) ## open the course in JupyterLab (ARGS="--no-browser" and the like are passed on)
	$(PY) -m jupyter lab --ServerApp.root_dir=. --LabApp.default_url=/lab/tree/notebooks/00_welcome.ipynb $(ALLOW_ROOT) $(ARGS)

test: $(STAMP) ## run every test and every notebook, comparing every output
	OPENBLAS_NUM_THREADS=1 $(PY) -m pytest -n 2 --dist loadfile --no-loadscope-reorder --color=no --cov --cov-fail-under=95 $(ARGS)

lint: $(STAMP) ## check the style of the code and the notebooks
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

format: $(STAMP) ## format and lint the code and the notebooks
	$(PY) -m ruff format .
	$(PY) -m ruff check --fix .

data: $(STAMP) ## download the full MNIST (11 MB) into data/mnist
	$(PY) -m course_lib.mnist

notebooks: $(STAMP) ## execute the notebooks again and store their outputs (ONLY="notebooks/01*.ipynb")
	$(PY) tools/execute.py $(ONLY)

browser: .venv/browser ## open and run every notebook in a real JupyterLab, in both themes (needs a Chromium)
	$(PY) tools/browser.py $(ARGS)

accessibility: .venv/browser ## check every notebook with axe-core, in both themes (needs a Chromium)
	$(PY) tools/accessibility.py $(ARGS)

matrix: $(STAMP) ## run the tests with each Python, old and new packages, other kernels and languages
	$(PY) tools/matrix.py $(ARGS)

bench: $(STAMP) ## measure speed and memory against textbook-style code
	$(PY) benchmarks/bench.py $(ARGS)

mutants: $(STAMP) ## plant a fault in every formula of the layers; the tests must catch each (ARGS="--only Relu")
	OPENBLAS_NUM_THREADS=1 $(PY) tests/mutants.py $(ARGS)

classroom: $(STAMP) ## run a chapter in many kernels at once from one read-only folder (ARGS="--kernels 20")
	$(PY) -m tools.classroom $(ARGS)

clean: ## remove the environment and all caches (the downloaded data stay)
	rm -rf .venv .browser .matrix build *.egg-info .pytest_cache .ruff_cache .hypothesis .coverage
	find . -name __pycache__ -o -name .ipynb_checkpoints | xargs rm -rf

# Root in a container may open JupyterLab too.
ALLOW_ROOT = $(shell [ "$$(id -u)" = 0 ] && echo --allow-root)

.venv/browser: $(STAMP)
	$(PY) -m pip install --quiet --editable ".[browser]"
	@touch $@

$(STAMP): pyproject.toml
	@[ -n "$(PYTHON)" ] || { echo "This course needs Python 3.10 or newer, and none was found on PATH. Install one, or run: make PYTHON=/path/to/python"; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) cannot make virtual environments: its venv module is missing. On Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	"$(PYTHON)" -m venv .venv
	$(PY) -m pip install --quiet --editable ".[test]"
	@# JupyterLab's own news would be the first thing that learners see, and it needs the network.
	@$(PY) -m jupyter labextension disable --level=sys_prefix "@jupyterlab/apputils-extension:announcements" 2>/dev/null
	@touch $(STAMP)
