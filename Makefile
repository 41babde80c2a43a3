# The only commands a person needs. Every target installs what it needs, and does so once.
#
#   make dev    a local chain with everything on it, one gasless job run through it, then served until Ctrl-C
#   make test   every test
#   make lint   formatting and static checks, storage layouts among them
#   make deep   the invariants of the marketplace at 1,000 runs of 500 steps; takes long
#   make coverage  what the tests reach of the marketplace's contracts: all of it, or it fails
#   make oracle 10,000 random validation programs, judged by the bundler and by the tests' own reading of ERC-7562
#   make accuracy  how exact gas estimates are: 1,000 operations estimated, sent and executed
#   make sessions  60,000 random policies and operations, judged by our policy and by the account's contract
#   make bench  what a validation costs, in process and through the node
#   make load   a minute of hostile operations on a running node: what honest ones notice of it
#   make inclusion  2,000 operations of 200 senders over one-second blocks; make chaos  20 seeds of trouble on a real chain
#   make fuzz   ten million spoilt inputs to the parsers
#   make build  contracts, then Rust

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
<<<<<<< HEAD
.PHONY: help dev test test-contracts test-rust deep coverage oracle bench load inclusion chaos fuzz lint build contracts vectors clean
=======
.PHONY: help dev test test-contracts test-rust deep coverage oracle accuracy sessions bench load fuzz lint build contracts vectors clean
>>>>>>> origin/main

CONTRACTS := contracts
VIEM := tests/viem
FORGE := node_modules/.bin/forge
# The program itself rather than npm's wrapper around it: stopping the wrapper would leave the program running.
ANVIL = $(abspath $(firstword $(wildcard $(CONTRACTS)/node_modules/@foundry-rs/anvil-*/bin/anvil)))
export FABSTIR_ANVIL = $(ANVIL)
# Not `npm ci`: it refuses a lockfile without the packages of other platforms, which not every registry mirror has.
NPM_INSTALL := npm install --no-save --ignore-scripts --no-audit --no-fund --loglevel=error

help:
	@sed -n 's/^#   //p' Makefile

$(CONTRACTS)/node_modules/.installed: $(CONTRACTS)/package-lock.json
	cd $(CONTRACTS) && $(NPM_INSTALL)
	touch $@

$(VIEM)/node_modules/.installed: $(VIEM)/package-lock.json
	cd $(VIEM) && $(NPM_INSTALL)
	touch $@

# Artifacts: the Rust bindings are made from them, so they come first.
$(CONTRACTS)/out/.built: $(CONTRACTS)/node_modules/.installed $(CONTRACTS)/foundry.toml $(shell find $(CONTRACTS)/src $(CONTRACTS)/test $(CONTRACTS)/script -name '*.sol' 2>/dev/null)
	cd $(CONTRACTS) && $(FORGE) build --offline --quiet
	touch $@

contracts: $(CONTRACTS)/out/.built

build: contracts
	cargo build --workspace --locked

dev: build $(VIEM)/node_modules/.installed
	./target/debug/fabstir dev --run 'npm --silent --prefix $(VIEM) run demo'

test: test-contracts test-rust

test-contracts: contracts
	cd $(CONTRACTS) && $(FORGE) test --offline

# All of the workspace at once, so that features and with them compiled dependencies are those of `build`.
# The end-to-end tests come last and close the run with their summary.
test-rust: build $(VIEM)/node_modules/.installed
	cargo test --workspace --locked --lib --bins --tests

lint: contracts $(VIEM)/node_modules/.installed
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cd $(CONTRACTS) && $(FORGE) fmt --check && node tools/layouts.js
	cd $(VIEM) && npm run --silent check

deep: contracts
	cd $(CONTRACTS) && FOUNDRY_PROFILE=deep $(FORGE) test --offline --match-path 'test/invariant/test_invariants.t.sol'

# FABSTIR_SEED=… for others than yesterday's.
oracle: build
	FABSTIR_PROGRAMS=10000 cargo test --workspace --locked --test e2e oracle -- --nocapture

# FABSTIR_SEED=… for others than yesterday's.
sessions: contracts
	FABSTIR_PAIRS=$${FABSTIR_PAIRS:-60000} cargo test -p session-keys --locked --test contract -- --nocapture

# FABSTIR_SEED=… for others than the last time's.
accuracy: build
	FABSTIR_OPERATIONS=$${FABSTIR_OPERATIONS:-1000} cargo test --workspace --locked --test e2e accuracy:: -- --nocapture

# The node first: the measurement starts it as a process of its own.
bench: contracts
	cargo build --workspace --locked --profile bench
	cargo bench --workspace --locked --bench validation

load: contracts
	cargo build --workspace --locked --profile bench
	cargo bench --workspace --locked --bench load

inclusion: build
	FABSTIR_SENDERS=200 FABSTIR_OPERATIONS=2000 cargo test --workspace --locked --test e2e inclusion -- --nocapture

# FABSTIR_CHAOS_SEED=… for others than the last time's. The flow's own seeds need no chain.
chaos: build
	FABSTIR_SEEDS=20000 cargo test --workspace --locked --lib flow -- --nocapture
	FABSTIR_CHAOS_SEEDS=20 cargo test --workspace --locked --test e2e chaos -- --nocapture

# FABSTIR_SEED=… for others than the last time's.
fuzz: contracts
	FABSTIR_EXECUTIONS=$${FABSTIR_EXECUTIONS:-10000000} cargo test --workspace --locked --test fuzz -- --nocapture

# Without the account's contracts, which do not compile without the optimizer. Sizes are not those that are deployed.
coverage: contracts
	cd $(CONTRACTS) && FOUNDRY_PROFILE=coverage $(FORGE) coverage --offline --report lcov \
		--no-match-test test_every_contract_has_room --skip 'test/BaseAccount/**' 'test/Paymaster/**' 'test/symbolic/**' \
		'test/gas/**' 'test/*/account/**' 'test/invariant/**' 'src/account/**' 'src/paymaster/**' 'script/**'
	cd $(CONTRACTS) && node tools/coverage.js

# Writes the golden userOpHash vectors anew, from the real EntryPoints.
vectors: contracts
	FABSTIR_WRITE_VECTORS=1 cargo test --workspace --locked --test hash_vectors

clean:
	cargo clean
	rm -rf $(CONTRACTS)/out $(CONTRACTS)/cache .dev
