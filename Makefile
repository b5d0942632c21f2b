# make demo    set up, then train the default GAN on bundled handwritten digits
# make test    set up, then run the tests (no PyTorch, no GPU)
# make check   lint, types, and the tests that need PyTorch or minutes
# make cuda    the CUDA kernels under sanitizers, and compiled by NVIDIA's compiler: those that changed and, in turn, a
#              third of the others, or all with RAWGAN_ALL_KERNELS=1; needs no GPU

PYTHON ?= python3
BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest -q -n 2

demo: .venv/installed
	$(BIN)/rawgan train mlp --data digits --epochs 300 --batch-size 64 --learning-rate 1e-3 --objective non_saturating

test: .venv/installed-test
	$(PYTEST) -m "not slow and not torch and not dev and not browser and not sanitizer and not nvrtc and not gpu"

check: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	rm -rf build dist
	$(BIN)/python -m build --wheel --no-isolation --outdir dist .
	$(BIN)/python -m zipfile -e dist/*.whl build/wheel
	cp pyproject.toml build/wheel
	cd build/wheel && ../../$(BIN)/pyright --pythonpath ../../$(BIN)/python
	cd build && PYTHONPATH=wheel ../$(BIN)/python -P -m rawgan train mlp --steps 20 --quiet --out run
	$(PYTEST) -m "slow or torch or dev or browser"

cuda: .venv-cuda/installed
	.venv-cuda/bin/python tests/kernels/turns.py
	.venv-cuda/bin/python -m pytest -q -n 2 -m "sanitizer or nvrtc"

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "rawgan needs Python 3.11 or newer: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv .venv

.venv-cuda/installed: pyproject.toml
	$(PYTHON) -m venv .venv-cuda
	.venv-cuda/bin/python -m pip install --quiet --disable-pip-version-check --editable ".[nvrtc]"
	touch $@

.venv/installed: .venv/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

.venv/installed-test: .venv/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[test]"
	touch $@ .venv/installed

.venv/installed-dev: .venv/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[dev]"
	touch $@ .venv/installed .venv/installed-test

clean:
	rm -rf .venv build dist *.egg-info

.PHONY: demo test check cuda clean
