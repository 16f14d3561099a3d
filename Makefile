# make demo     the sample digest from drafts to inboxes, on this machine
# make test     all checks: format, lint, types, import contract, tests
# make bench    what the performance claims rest on
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: demo test bench format lock clean

demo: $(STAMP)
	$(BIN)/newsletter demo

test: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -n 2

bench: $(STAMP)
	$(BIN)/python benchmarks/all.py

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[demo,test]'
	touch $@

# The versions that are known to work together; written from what is installed, without addresses.
lock: $(STAMP)
	$(BIN)/pip freeze --exclude-editable --exclude newsletter | sort -f > constraints.txt

clean:
	rm -rf .venv demo
