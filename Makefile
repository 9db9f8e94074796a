# make up      set up, then run everything in the foreground; Ctrl-C stops it
# make up STRIPE=stand-in   the same, with a stand-in for Stripe beside it: nothing is paid
# make test    set up, then run the whole test suite; the few that failed once more, alone
# make check   format, lint and types
# make bench   the numbers, written to ops/bench/
# make bench-speed  beside an empty proxy, nginx, nginx + Lua + Redis; the knee; 1 MB; streams
# make soak     MINUTES (30) of mixed load at 70 % of the knee: leaks, drift, journal and ledger
# make bench-quality  how good and how fast the models are, beside bare loops and BM25
# make nodes   3 gateways, 6 Redis, 2 PostgreSQL as network namespaces: limits, failovers, upgrades (root)
# make bench-deepsearch  what a research finds, reads and costs; its streams
# make bench-money  every order of payment events and every place to be killed at: one end
# make bench-kills  kill -9 of everything at random under load, and the reckoning
# make bench-books  how long closing a day, the proof and an export take
# make bench-restart  gateways replaced under 500 requests/s: none may fail
# make faults  96 cells: eight things broken at six points of a request, whole and streamed
# make simulate  SEEDS worlds (1000) from FIRST on (0) in virtual time under faults; SIMULATION_SEED=n: that one, told
# make mutants  named flips of the product, and which seed notices each: ops/bench/mutants.md
# make fuzz-api  ask a gateway whatever /openapi.json allows, and more: EXAMPLES each (100)
# make rules   check alert rules, their tests, routes and dashboards with promtool and amtool
# make dashboards  write the Grafana dashboards from ops/grafana/*.py
# make pictures  every web page, wide and narrow, light and dark, into pictures/
# make docs    write the documents that are made from code
# make lock    write requirements.lock again from pyproject.toml (needs network)
# make clean   remove what set-up and tools made; never the data in .sluice

.PHONY: up test check docs pictures dashboards rules lock clean setup
.PHONY: simulate mutants
.PHONY: nodes faults fuzz-api bench bench-speed soak bench-restart bench-deepsearch bench-money bench-kills bench-books bench-quality
.DEFAULT_GOAL := up
export PYTHON

setup: .venv/stamp

.venv/stamp: requirements.lock pyproject.toml ops/setup.sh
	@./ops/setup.sh

# exec: signals reach the supervisor itself. setpriv: a killed make takes it along, cleanly.
UP.real = .venv/bin/sluice up
UP.stand-in = .venv/bin/python -m tests.stripe_standin.up
STRIPE = real
up: setup
	@exec setpriv --pdeathsig TERM -- $(or $(UP.$(STRIPE)),$(error STRIPE is real or stand-in))

test: setup
	@.venv/bin/python -m tests.suite -n 2 --dist loadfile $(ARGS)

check: setup
	@.venv/bin/ruff format --check .
	@.venv/bin/ruff check .
	@.venv/bin/mypy

docs: setup
	@.venv/bin/python -m ops.who_pays

pictures: setup
	@.venv/bin/python -m ops.pictures $(ARGS)

dashboards: setup
	@.venv/bin/python -m ops.grafana.pages

rules: setup
	@ops/prometheus/check.sh

faults: setup
	@.venv/bin/python -m tests.faults.run $(ARGS)

EXAMPLES = 100
fuzz-api: setup
	@.venv/bin/python -W ignore -m tests.documents.fuzz $(EXAMPLES) --edges

bench: setup
	@.venv/bin/python -m ops.bench.run

bench-speed: setup
	@.venv/bin/python -m ops.bench.speed

MINUTES = 30
RATE = 0
soak: setup
	@.venv/bin/python -m ops.bench.soak --minutes $(MINUTES) --rate $(RATE)

bench-deepsearch: setup
	@.venv/bin/python -m ops.bench.deepsearch 2 30
	@.venv/bin/python -m ops.bench.deepsearch_streams

bench-money: setup
	@.venv/bin/python -m ops.bench.money_orders

# exec: a killed make takes everything along, and the kernel the rest.
nodes: setup
	@exec setpriv --pdeathsig KILL -- .venv/bin/python -m ops.nodes $(ARGS)

bench-restart: setup
	@.venv/bin/python -m ops.bench.restart

bench-kills: setup
	@.venv/bin/python -m ops.bench.kills

bench-books: setup
	@.venv/bin/python -m ops.bench.books

bench-quality: setup
	@.venv/bin/python -m ops.bench.quality

SEEDS = 1000
FIRST = 0
simulate: setup
	@SEEDS=$(SEEDS) FIRST=$(FIRST) SIMULATION_SEED=$(SIMULATION_SEED) .venv/bin/python -m tests.simulation

mutants: setup
	@.venv/bin/python -m tests.simulation.mutate

lock:
	@./ops/setup.sh lock

clean:
	rm -rf .venv .tools .hypothesis .mypy_cache .ruff_cache *.egg-info
	find gateway services sql tests -name __pycache__ -type d -prune -exec rm -rf {} +
