# make demo     the sample digest from drafts to inboxes, on this machine
# make test     all checks: format, lint, types, import contract, tests
# make bench    what the performance claims rest on
# make torture  senders killed, stopped and lied to some thousand times: nobody is forgotten, nobody gets two
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: demo test chromium bench torture format lock clean

demo: $(STAMP)
	$(BIN)/newsletter demo

test: $(STAMP) chromium
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -n 2

# The browser that walks through the pages. Without one those tests are skipped, and say so.
chromium:
	@command -v chromium >/dev/null || { test "$$(id -u)" = 0 && command -v apt-get >/dev/null \
		&& apt-get -qq update && apt-get -qq -y install --no-install-recommends chromium >/dev/null; } || true

bench: $(STAMP)
	$(BIN)/python benchmarks/all.py

RUNS ?= 2000
SEED ?= 1
torture: $(STAMP)
	$(BIN)/python -m tests.torture --runs $(RUNS) --seed $(SEED)

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[test]'
	touch $@

# The versions that are known to work together; written from what is installed, without addresses.
lock: $(STAMP)
	$(BIN)/pip freeze --exclude-editable --exclude newsletter | sort -f > constraints.txt

clean:
	rm -rf .venv demo
