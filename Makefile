# nmlab needs Python 3.11 or newer and make; everything else is installed into .venv.
#   PYTHON       the Python to build .venv with:        make lab PYTHON=python3.12
#   ARGS         goes to JupyterLab, pytest or bench:   make lab ARGS=--no-browser, make test ARGS="-k fields"
#   TORCH_INDEX  one more package index, as for torch's builds without CUDA (pytorch.org names them)

PYTHON ?= python3
ARGS ?=
TORCH_INDEX ?=

BIN := .venv/bin
INSTALLED := .venv/installed

.PHONY: lab demo test test-gpu test-lowest check bench examples clean

lab: $(INSTALLED)  ## JupyterLab on the first notebook
	$(BIN)/jupyter lab $(if $(filter 0,$(shell id -u)),--allow-root) --LabApp.default_url=/lab/tree/notebooks/01_first_fit.ipynb $(ARGS)

demo: $(INSTALLED)  ## the same notebook without a screen
	$(BIN)/python -m tests.demo

test: $(INSTALLED)
	$(BIN)/python -m tests.chromium
	$(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)  # which of them share a worker: tests/conftest.py

test-gpu: $(INSTALLED)  ## on a machine with a GPU: the gallery's problems on it and on the CPU, as a table
	$(BIN)/python -m tests.gpu

# torch stays the tested one; the browser, the lessons, the gallery and Binder are for `make test`
test-lowest: .venv-lowest/installed  ## with the lowest versions that pyproject.toml promises
	.venv-lowest/bin/python -m pytest -n 2 --dist loadfile --ignore tests/browser --ignore tests/gallery \
		--ignore tests/test_notebooks.py --ignore tests/test_binder.py $(ARGS)

check: $(INSTALLED)  ## what takes seconds and must hold for every commit
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_imports.py
	$(BIN)/python -m tests.front

bench: $(INSTALLED)  ## all timings, into tests/benchmark/results; QUICK=1 takes minutes, ARGS="loader kernel" some parts
	-$(BIN)/python -m tests.chromium
	$(BIN)/python -m tests.benchmark $(ARGS)

examples: $(INSTALLED)  ## NeuroMANCER's examples from a checkout of its repository: NEUROMANCER_REPO=<folder>; ARGS="control ODEs" some
	NEUROMANCER_REPO="$(NEUROMANCER_REPO)" $(BIN)/python -m tests.examples $(ARGS)

clean:  ## the environments and all caches; runs stay
	rm -rf .venv .venv-lowest .hypothesis .mypy_cache .pytest_cache .ruff_cache build dist
	find . -name __pycache__ -prune -exec rm -rf {} +

# Debian packs what makes environments apart from Python; the first lines get it, or get round it, or say how.
$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'nmlab needs Python 3.11 or newer; name one: make $(MAKECMDGOALS) PYTHON=python3.12'; exit 1; }
	@set -e; \
	if $(BIN)/python -m pip --version >/dev/null 2>&1; then exit 0; fi; \
	version=$$($(PYTHON) -c 'import sys; print("python%d.%d" % sys.version_info[:2])'); \
	if ! $(PYTHON) -c 'import venv, ensurepip' 2>/dev/null && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; \
	then apt-get update && apt-get install -y "$$version-venv" || true; fi; \
	$(PYTHON) -m venv --clear .venv || $(PYTHON) -m virtualenv --clear .venv 2>/dev/null || \
		{ echo "No environment could be made. On Debian this brings what is missing: sudo apt-get install $$version-venv"; exit 1; }
	$(BIN)/python -m pip install -c constraints.txt $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) -e '.[lab,test]'
	@$(BIN)/jupyter labextension disable '@jupyterlab/apputils-extension:announcements'  # asks about news at every start
	@touch $@

.venv-lowest/installed: pyproject.toml constraints.txt tests/lowest.py
	$(PYTHON) -m venv --clear .venv-lowest
	$(PYTHON) -m tests.lowest > .venv-lowest/constraints.txt
	.venv-lowest/bin/python -m pip install -c .venv-lowest/constraints.txt \
		$(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) -e '.[test]'
	@touch $@
