# make demo     the sample digest from drafts to inboxes, on this machine
# make test     all checks: format, lint, types, import contract, tests
# make bench    what the performance claims rest on
# make torture  senders killed, stopped and lied to some thousand times: nobody is forgotten, nobody gets two
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: demo test machine bench torture format lock clean

demo: $(STAMP)
	$(BIN)/newsletter demo

test: $(STAMP) machine
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(IN_MEMORY) $(BIN)/pytest -n 2

# What tests write needn't outlive the machine: it is in memory, where there is room for it.
IN_MEMORY = $(shell test "$$(df --output=avail /dev/shm 2>/dev/null | tail -1)" -gt 8000000 2>/dev/null && echo TMPDIR=/dev/shm)

# What tests want of the machine: a browser to walk through the pages, fonts for Japanese and Arabic on paper. Where they
# can't be installed, those tests are skipped, and say so.
WANTED := chromium fonts-noto-core fonts-noto-cjk
machine:
	@dpkg-query -W $(WANTED) >/dev/null 2>&1 || { test "$$(id -u)" = 0 && command -v apt-get >/dev/null \
		&& apt-get -qq update && apt-get -qq -y install --no-install-recommends $(WANTED) >/dev/null; } || true

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
