# The only commands a person needs. Each of them may be the first one in a fresh clone: every target installs what it
# needs, and does so once.
#
#   make quickstart  the least that a first sponsored operation takes, from a fresh clone
#   make dev    a local chain with everything on it, one gasless job run through it, then served until Ctrl-C; ONCE=1 ends then
#   make test   every test
#   make lint   formatting and static checks, storage layouts and Slither among them
#   make deep   the invariants of the marketplace at 1,000 runs of 500 steps; takes long
#   make coverage  what the tests reach of the marketplace's contracts: all of it, or it fails
#   make symbolic  properties of escrow, parameters and session keys for all inputs, by halmos; takes five minutes
#   make mutants-rust  120 small faults in the product's Rust, and how many of them the tests notice; takes hours
#   make hygiene  each end-to-end test killed, stopped and made to fail: that its run ends, names it and leaves nothing; takes hours
#   make mutants   300 small faults in the marketplace's contracts and how many of them the tests notice; takes 15 minutes
#   make oracle 50,000 random validation programs, judged by the bundler and by the tests' own reading of ERC-7562
#   make accuracy  how exact gas estimates are: 1,000 operations estimated, sent and executed
#   make sessions  60,000 random policies and operations, judged by our policy and by the account's contract
#   make bench  what a validation and a sponsorship cost; latencies, rates, CPU and memory of a node under load, and of sends beside the worst estimates; FABSTIR_BASELINE=file compares
#   make load   a minute of hostile operations on a running node: what honest ones notice of it
#   make idle   what a node costs that nobody uses, for a minute: questions to its chain's node, and CPU
#   make inclusion  2,000 operations of 200 senders over one-second blocks; make chaos  20 seeds of trouble on a real chain
#   make siege  sixty attackers on a hard chain beside honest users, each alone and in mixtures by seed: what each cost the bundler, the users and himself
#   make base-load  Base as it is for ten minutes, half of each block taken by others: 20 operations a second, how long each took
#   make windows    operations valid from or until about now, at a thousand moments: none is mined outside its window
#   make simulate  10,000 seeds of a bundler in a simulated world; make faults  what it finds of faults planted on purpose
#   make judges the judge of each rule of ERC-7562 disabled, and made too strict: that the rule's tests fail; takes ten minutes
#   make bounds 100,000 transactions of each EntryPoint whose operations do their worst: none reverts, none is mined at a loss
#   make same-history  the hashes of 24 of these seeds' histories, in two builds
#   make crash  500 lives of a node that end by kill -9, at any moment and at each write: nothing lost, nothing twice
#   make scale  5,000 operations through two rpc nodes, two builders and one Redis, each of them killed on the way
#   make fuzz   ten million spoilt inputs to the parsers
#   make proofs EZKL's pipeline: both models to verifiers, compared with what is committed, and a proof of each
#   make hidden-calls  200,000 batches with a forbidden call somewhere in them: no policy sponsors one
#   make pictures  the documentation's pictures of the web console, from the tests that use it in a browser
#   make alerts  the alert rules, read by promtool
#   make budgets  100,000 histories of crashes and reorganisations against the paymaster's ledger
#   make clients  the table of client libraries and kinds of account in docs/clients.md, made anew
#   make client-estimates  400 operations of the accounts in that table, estimated as each client does: admitted, executed, and with how much room
#   make verify  recompiles every contract of deploy/addresses/local.json from its bundle and compares it with a chain
#   make reference  docs/settings.md, docs/rpc.md, docs/contracts.md, docs/addresses.md and deploy/addresses/local.json made anew; make book  the site
#   make build  contracts, then Rust

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help clients client-estimates quick quickstart tests-built base-load siege simulate same-history faults judges bounds verify reference book dev test test-contracts test-rust slither symbolic deep coverage mutants mutants-rust hygiene oracle accuracy sessions bench load idle windows inclusion chaos crash scale fuzz budgets hidden-calls redis prometheus chromium alerts pictures lint build contracts vectors proofs clean

CONTRACTS := contracts
VIEM := tests/viem
CLIENTS := tests/clients
BROWSER := tests/browser
SDK := sdk
# The program itself rather than npm's wrapper around it, which ends with 0 when tests have failed. The shell looks it up
# when a recipe runs, after it was installed: what make looks up, it looks up before.
FORGE := node_modules/@foundry-rs/forge-*/bin/forge
# Not `npm ci`: it refuses a lockfile without the packages of other platforms, which not every registry mirror has.
NPM_INSTALL := npm install --no-save --ignore-scripts --no-audit --no-fund --loglevel=error

# EZKL, from PyPI; only what proves needs it.
PROOFS := $(CONTRACTS)/proofs
EZKL := $(PROOFS)/.venv/bin/python
TINY := $(PROOFS)/build/tiny
PIPELINE := $(EZKL) $(PROOFS)/pipeline.py
export FABSTIR_EZKL_PYTHON = $(abspath $(EZKL))
export FABSTIR_EZKL_TINY = $(abspath $(TINY))

# Slither and halmos, from PyPI.
SLITHER := $(CONTRACTS)/tools/slither
HALMOS := $(CONTRACTS)/tools/halmos

help:
	@sed -n 's/^#   //p' Makefile

$(CONTRACTS)/node_modules/.installed: $(CONTRACTS)/package-lock.json
	cd $(CONTRACTS) && $(NPM_INSTALL)
	touch $@

$(VIEM)/node_modules/.installed: $(VIEM)/package-lock.json
	cd $(VIEM) && $(NPM_INSTALL)
	touch $@

# Every client library that the table of docs/clients.md is about, and the accounts' code.
$(CLIENTS)/node_modules/.installed: $(CLIENTS)/package-lock.json
	cd $(CLIENTS) && $(NPM_INSTALL)
	touch $@

# Brings no browser along: that is `chromium` below.
$(BROWSER)/node_modules/.installed: $(BROWSER)/package-lock.json
	cd $(BROWSER) && $(NPM_INSTALL)
	touch $@

$(SDK)/node_modules/.installed: $(SDK)/package-lock.json
	cd $(SDK) && $(NPM_INSTALL)
	touch $@

# A virtual environment beside each requirements.txt. `ensurepip` is a Debian package of its own.
%/.venv/.installed: %/requirements.txt
	python3 -m venv $(@D) || { \
		sudo=$$([ $$(id -u) = 0 ] || echo sudo); \
		$$sudo apt-get update -qq && $$sudo apt-get install -y -qq python3-venv && python3 -m venv $(@D); }
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	touch $@

# From the committed SRS, until EZKL makes the key of the committed verifier: it makes one of two.
$(TINY)/stamp.json: $(PROOFS)/.venv/.installed $(PROOFS)/pipeline.py $(PROOFS)/tiny.srs
	rm -rf $(TINY)
	$(PIPELINE) setup $(TINY) tiny $(PROOFS)/tiny.srs $(CONTRACTS)/test/ProofSystem/verifiers/TinyVerifier.sol

# What is deployed, without tests: the Rust bindings are made from these artifacts, so they come first.
$(CONTRACTS)/out/.built: $(CONTRACTS)/node_modules/.installed $(CONTRACTS)/foundry.toml $(shell find $(CONTRACTS)/src $(CONTRACTS)/script -name '*.sol')
	@echo "== contracts: about a minute"
	cd $(CONTRACTS) && $(FORGE) build --offline --quiet --skip 'test/**'
	touch $@

# And their tests.
$(CONTRACTS)/out/.tests-built: $(CONTRACTS)/out/.built $(shell find $(CONTRACTS)/test -name '*.sol')
	@echo "== tests of the contracts: five minutes on one core"
	cd $(CONTRACTS) && $(FORGE) build --offline --quiet
	touch $@

contracts: $(CONTRACTS)/out/.built

build: contracts
	cargo build --workspace --locked

# The program as `dev` and `quickstart` run it: no tests, no optimisation. What does not need the contracts is compiled
# beside them; that cargo's first run ends with an error where it needs them is foreseen, and not shown.
CLIENT := $(VIEM)
quick:
	@echo "== npm packages and contracts, and beside them what the program is built on: three minutes"
	@mkdir -p target && ($(MAKE) --no-print-directory -j2 contracts $(CLIENT)/node_modules/.installed >target/contracts.log 2>&1) & contracts=$$!; \
	(cargo build --locked --profile quick --package fabstir --keep-going 2>&1 || true) | \
		grep --line-buffered -E '^ *(Compiling|Downloading)' || true; \
	wait $$contracts || { cat target/contracts.log; exit 1; }
	@echo "== the program: another minute"
	cargo build --locked --profile quick --package fabstir

quickstart: quick
	./target/quick/fabstir dev --once --run 'cd $(SDK) && node_modules/.bin/tsx examples/first.ts'
quickstart: CLIENT := $(SDK)

# The SDK's packages are for whoever goes on from here.
dev: quick
	@echo "== a chain, its contracts, a node, and one job: half a minute"
	@$(MAKE) --no-print-directory $(SDK)/node_modules/.installed >target/sdk.log 2>&1 & sdk=$$!; \
	./target/quick/fabstir dev $(if $(ONCE),--once )--run 'npm --silent --prefix $(VIEM) run demo' && \
		wait $$sdk || { cat target/sdk.log; exit 1; }

# The contracts' tests are compiled on one core, while what Rust tests are built on is on the other.
test: contracts
	$(MAKE) --no-print-directory -j2 $(CONTRACTS)/out/.tests-built tests-built
	$(MAKE) --no-print-directory test-contracts
	$(MAKE) --no-print-directory test-rust

test-contracts: $(CONTRACTS)/out/.tests-built
	cd $(CONTRACTS) && $(FORGE) test --offline

# All of the workspace at once, so that features and with them compiled dependencies are those of `build`.
# `tests/run` ends what takes longer than FABSTIR_TEST_SECONDS, and whatever a program of tests leaves behind.
RUNNER := --config 'target."cfg(unix)".runner=["$(abspath tests/run)"]'
RUST_TESTS := cargo test --workspace --locked $(RUNNER) --lib --bins --tests

# The program too: the end-to-end tests start it, and cargo does not know that.
tests-built: contracts
	@echo "== the program and its tests: ten minutes"
	cargo build --workspace --locked
	$(RUST_TESTS) --no-run

# The end-to-end tests come last and close the run with their summary.
NEEDED := redis prometheus chromium $(VIEM)/node_modules/.installed $(BROWSER)/node_modules/.installed $(SDK)/node_modules/.installed $(TINY)/stamp.json $(CLIENTS)/node_modules/.installed $(CLIENTS)/.venv/.installed
test-rust: tests-built $(CONTRACTS)/out/.tests-built $(NEEDED)
	$(RUST_TESTS)

# Each end-to-end test, or FABSTIR_HYGIENE=… of them drawn by FABSTIR_SEED=….
hygiene: build $(NEEDED)
	FABSTIR_HYGIENE=$${FABSTIR_HYGIENE:-all} cargo test --workspace --locked --test e2e hygiene -- --nocapture

# FABSTIR_MUTANTS=… for more, FABSTIR_SEED=… for others: docs/mutants.md.
mutants-rust: contracts redis
	cargo run --locked --package mutants

# A real one for the tests, which start it on ports of their own.
redis:
	@command -v redis-server >/dev/null && command -v openssl >/dev/null || { \
		[ "$$(id -u)" = 0 ] && as= || as=sudo; \
		$$as apt-get update -qq && $$as apt-get install -y -qq --no-install-recommends redis-server openssl; }

# A real one too, for the alerts, with promtool.
prometheus:
	@command -v promtool >/dev/null || { \
		[ "$$(id -u)" = 0 ] && as= || as=sudo; \
		$$as apt-get update -qq && $$as apt-get install -y -qq --no-install-recommends prometheus; }

# What Prometheus is to be given is what it can read.
alerts: prometheus
	cd deploy/prometheus && promtool check config prometheus.yml >/dev/null

# A real one too, for the pages that the binary serves.
chromium:
	@command -v chromium >/dev/null || { \
		[ "$$(id -u)" = 0 ] && as= || as=sudo; \
		$$as apt-get update -qq && $$as apt-get install -y -qq --no-install-recommends chromium; }

# The documentation's pictures of these pages, made anew by the tests that use them.
pictures: build chromium $(BROWSER)/node_modules/.installed
	FABSTIR_SCREENSHOTS=1 cargo test --workspace --locked --test e2e console -- --nocapture

# So many for each of the two stores. FABSTIR_SEED=… for others than the last time's.
budgets: contracts redis
	FABSTIR_HISTORIES=$${FABSTIR_HISTORIES:-50000} cargo test --workspace --locked --test budgets -- --nocapture

# FABSTIR_SEED=… for others than the last time's.
hidden-calls: contracts
	FABSTIR_BATCHES=$${FABSTIR_BATCHES:-200000} cargo test --workspace --locked --lib a_forbidden_call_passes -- --nocapture

# On a chain of its own. A minute of CPU time.
verify: build
	FABSTIR_VERIFY_ALL=1 cargo test --workspace --locked --test e2e verify:: -- --nocapture

# First the deployment, which the pages are about; the test that writes it fails where it was old, and then no more.
reference: build
	./target/debug/fabstir reference > docs/settings.md
	FABSTIR_WRITE_DEPLOYMENTS=1 cargo test --workspace --locked --test e2e the_program_tells_first
	FABSTIR_WRITE_DOCS=1 cargo test --workspace --locked --test e2e the_reference_page_is_current
	node $(CONTRACTS)/tools/reference.js --write

# FABSTIR_SEED=… for others than the last time's.
client-estimates: build $(CLIENTS)/node_modules/.installed $(CLIENTS)/.venv/.installed
	FABSTIR_ROUNDS=$${FABSTIR_ROUNDS:-2} cargo test --workspace --locked --test e2e client_estimates -- --nocapture

clients: build $(CLIENTS)/node_modules/.installed $(CLIENTS)/.venv/.installed
	FABSTIR_WRITE_DOCS=1 cargo test --workspace --locked --test e2e client_table

# mdBook from crates.io, which takes minutes to compile; the pages are plain Markdown without it.
book:
	@command -v mdbook >/dev/null || cargo install mdbook --locked --version 0.4.52
	mdbook build

lint: contracts slither alerts $(VIEM)/node_modules/.installed $(BROWSER)/node_modules/.installed $(SDK)/node_modules/.installed
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cd $(CONTRACTS) && $(FORGE) fmt --check && node tools/layouts.js && node tools/reference.js
	cd $(VIEM) && npm run --silent check
	cd $(BROWSER) && npm run --silent check
	cd $(SDK) && npm run --silent check

# Every finding is explained in tools/slither/triage.json, or it fails.
slither: $(CONTRACTS)/node_modules/.installed $(SLITHER)/.venv/.installed
	cd $(CONTRACTS) && tools/slither/.venv/bin/python tools/slither/check.py

# Over the artifacts as they are deployed. halmos calls forge by its name.
symbolic: contracts $(HALMOS)/.venv/.installed
	cd $(CONTRACTS) && PATH="$$(dirname $$(realpath $(FORGE))):$$PATH" FOUNDRY_PROFILE=symbolic tools/halmos/.venv/bin/halmos \
		--forge-build-out out/symbolic --loop 22 --solver-timeout-assertion 300s --no-status

deep: contracts
	cd $(CONTRACTS) && FOUNDRY_PROFILE=deep $(FORGE) test --offline --match-path 'test/invariant/test_invariants.t.sol'

# FABSTIR_SEED=… for others than yesterday's.
oracle: build
	FABSTIR_PROGRAMS=$${FABSTIR_PROGRAMS:-50000} cargo test --workspace --locked --test e2e oracle -- --nocapture

# FABSTIR_SEED=… for others than yesterday's.
sessions: contracts
	FABSTIR_PAIRS=$${FABSTIR_PAIRS:-60000} cargo test -p session-keys --locked --test contract -- --nocapture

# FABSTIR_SEED=… for others than the last time's.
accuracy: build
	FABSTIR_OPERATIONS=$${FABSTIR_OPERATIONS:-1000} cargo test --workspace --locked --test e2e accuracy:: -- --nocapture

# The node first: the measurement starts it as a process of its own. The figures of rpc are written to target/bench.
bench: contracts redis $(VIEM)/node_modules/.installed
	cargo build --workspace --locked --profile bench
	cargo bench --workspace --locked --bench validation --bench reserve --bench rpc --bench beside --bench sponsored --bench durable

load: contracts
	cargo build --workspace --locked --profile bench
	cargo bench --workspace --locked --bench load

inclusion: build
	FABSTIR_SENDERS=200 FABSTIR_OPERATIONS=2000 cargo test --workspace --locked --test e2e inclusion -- --nocapture

# FABSTIR_CHAOS_SEED=… for others than the last time's. The flow's own seeds need no chain.
chaos: build
	FABSTIR_SEEDS=20000 cargo test --workspace --locked --lib flow -- --nocapture
	FABSTIR_CHAOS_SEEDS=20 cargo test --workspace --locked --test e2e chaos -- --nocapture

# The dependencies as for `make bench`, and ours optimised too, but with their assertions.
SIMULATION := --profile bench $(foreach crate,erc4337 bundler paymaster simulation,--config profile.bench.package.$(crate).debug-assertions=true)
SEEDS := cargo test --workspace --locked

# FABSTIR_SEED=… for others than the last time's. Optimised, as it is mostly the EVM.
bounds: contracts
	FABSTIR_EXECUTIONS=$${FABSTIR_EXECUTIONS:-100000} cargo test --workspace --locked --profile bench --lib bounds:: -- --nocapture

# FABSTIR_SEED=… for others: docs/simulation.md.
simulate: contracts
	FABSTIR_SEEDS=$${FABSTIR_SEEDS:-10000} $(SEEDS) $(SIMULATION) --test seeds no_seed -- --nocapture

# One seed has one history: in the build of the tests, and in the optimised one.
same-history: contracts
	@mkdir -p target
	FABSTIR_SEEDS=$${FABSTIR_SEEDS:-24} FABSTIR_HASHES=1 $(SEEDS) --test seeds no_seed -- --nocapture | grep '^hash of' | sort > target/histories-dev
	FABSTIR_SEEDS=$${FABSTIR_SEEDS:-24} FABSTIR_HASHES=1 $(SEEDS) $(SIMULATION) --test seeds no_seed -- --nocapture | grep '^hash of' | sort > target/histories-optimised
	cmp target/histories-dev target/histories-optimised && cat target/histories-dev

# FABSTIR_ONLY=… for those whose names have this in them.
faults: contracts
	$(SEEDS) $(SIMULATION) --no-run --test seeds --bin faults
	FABSTIR_FLAGS="$(SIMULATION)" ./target/release/faults

# FABSTIR_ONLY=… for those whose names have this in them.
judges: contracts
	cargo run --locked --package simulation --bin judges

# FABSTIR_CRASH_SEED=… for others than the last time's.
crash: build redis
	FABSTIR_SEEDS=20000 cargo test --workspace --locked --lib journal -- --nocapture
	FABSTIR_CRASH_RUNS=$${FABSTIR_CRASH_RUNS:-500} cargo test --workspace --locked --test e2e crash:: -- --nocapture

# Two rpc nodes, two builders, one Redis, and what may happen to each.
scale: build redis
	FABSTIR_SCALE_OPERATIONS=$${FABSTIR_SCALE_OPERATIONS:-5000} cargo test --workspace --locked --test e2e scale:: -- --nocapture

# FABSTIR_SEED=… for others than the last time's.
fuzz: contracts
	FABSTIR_EXECUTIONS=$${FABSTIR_EXECUTIONS:-10000000} cargo test --workspace --locked --test fuzz -- --nocapture

# Without the account's contracts, which do not compile without the optimizer. Sizes are not those that are deployed.
coverage: contracts
	cd $(CONTRACTS) && FOUNDRY_PROFILE=coverage $(FORGE) coverage --offline --report lcov \
		--no-match-test test_every_contract_has_room --skip 'test/Deploy/**' 'test/Docs/**' 'test/support/next/**' 'test/BaseAccount/**' 'test/Paymaster/**' 'test/symbolic/**' \
		'test/gas/**' 'test/Integration/test_gas_usage.t.sol' 'test/*/account/**' 'test/invariant/**' 'test/ProofSystem/verifiers/**' 'src/account/**' 'src/paymaster/**' 'script/**'
	cd $(CONTRACTS) && node tools/coverage.js

# FABSTIR_MUTANTS=… for more, FABSTIR_SEED=… for others.
mutants: contracts
	cd $(CONTRACTS) && node --test tools/mutants/ && node tools/mutants.js

# The second model's SRS is made anew, so its verifier is another one each time; the committed proof stays that of the
# committed verifier.
proofs: $(TINY)/stamp.json
	sed 's/contract Halo2Verifier/contract TinyVerifier/' $(TINY)/Verifier.sol | cmp - $(CONTRACTS)/test/ProofSystem/verifiers/TinyVerifier.sol
	cmp $(TINY)/model.onnx $(PROOFS)/tiny.onnx
	$(PIPELINE) setup $(PROOFS)/build/mlp mlp
	$(PIPELINE) prove $(TINY) < $(PROOFS)/fixtures/tiny-1.json | $(EZKL) -c "import json, sys; o = json.load(sys.stdin); print('tiny:', o['seconds'], 's,', o['peakMemoryMiB'], 'MiB,', len(o['proof']) // 2 - 1, 'bytes')"
	$(PIPELINE) prove $(PROOFS)/build/mlp < $(PROOFS)/fixtures/mlp-1.json | $(EZKL) -c "import json, sys; o = json.load(sys.stdin); print('mlp:', o['seconds'], 's,', o['peakMemoryMiB'], 'MiB,', len(o['proof']) // 2 - 1, 'bytes')"

# Writes the golden userOpHash vectors anew, from the real EntryPoints.
vectors: contracts
	FABSTIR_WRITE_VECTORS=1 cargo test --workspace --locked --test hash_vectors

# CPU, on 200-ms and 2-s blocks: the figures of docs/bundler.md.
windows: build
	FABSTIR_MOMENTS=$${FABSTIR_MOMENTS:-1000} cargo test --workspace --locked --test e2e windows -- --nocapture

idle: build
	FABSTIR_IDLE_SECONDS=$${FABSTIR_IDLE_SECONDS:-60} cargo test --workspace --locked --test e2e idle::a_node -- --nocapture

clean:
	cargo clean
	rm -rf $(CONTRACTS)/out $(CONTRACTS)/cache .dev

# FABSTIR_SIEGE=… for some attackers alone, with commas; FABSTIR_SEED=… for other mixtures. A hundred blocks for each of
# them, 30 mixtures on a real chain, 500 in the simulated world.
siege: build
	FABSTIR_SIEGE_ROUNDS=$${FABSTIR_SIEGE_ROUNDS:-25} FABSTIR_SIEGE_SEEDS=$${FABSTIR_SIEGE_SEEDS:-30} \
		cargo test --workspace --locked --test e2e siege:: -- --nocapture
	FABSTIR_SEEDS=$${FABSTIR_SIMULATED:-500} cargo test --workspace --locked --test siege -- --nocapture

# FABSTIR_LOAD_RATE=… for more a second, FABSTIR_SEED=… for other moments.
base-load: build
	FABSTIR_LOAD_SECONDS=$${FABSTIR_LOAD_SECONDS:-600} cargo test --workspace --locked --test e2e base_load -- --nocapture
