# `make` is lint and test. `make demo` and `make test` set up what they need; nothing has to be installed by hand.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUST_SOURCES := $(shell find rust -name '*.rs') $(wildcard rust/*/Cargo.toml) Cargo.toml Cargo.lock

NPM := $(shell command -v npm)

.PHONY: all demo test test-rust test-python test-clients chromium nginx page screenshots docs conformance \
	conformance-cases bench bench-rust bench-instructions bench-instructions-renew fuzz fuzz-keep scale lint \
	lint-workflows deny format wheel sdist wheels \
	wheels-check wheels-try clean

all: lint test

# -- setting up --------------------------------------------------------------------------------------------------------

$(VENV)/.installed: requirements-dev.lock
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.lock
	touch $@

# The extension is built for release here too: what is tested is what is shipped.
$(VENV)/.built: $(VENV)/.installed pyproject.toml README.md $(RUST_SOURCES)
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

# -- the two commands --------------------------------------------------------------------------------------------------

demo: $(VENV)/.built
	$(BIN)/python examples/demo.py

test: test-rust test-python

test-rust:
	cargo test --locked --package tailrace-core
	cargo test --locked --package tailrace-core-tests --no-default-features --test interface
	cargo test --locked --package tailrace-core --package tailrace-core-tests --all-features

test-python: $(VENV)/.built
	$(BIN)/python -m pytest

# The gateway's page is tested in a browser where there is one, and its bundle against its sources where there is npm;
# the gateway behind nginx where there is one. CI has the choice taken from it: it installs Debian's, and fails without.
ifneq ($(NPM),)
test-python: web/node_modules/.installed
endif
ifneq ($(filter-out 0 false,$(CI)),)
test-python: chromium nginx
endif

chromium:
	command -v chromium || (apt-get update -qq && apt-get install -qq --yes --no-install-recommends chromium)

nginx:
	test -x /usr/sbin/nginx || (apt-get update -qq && apt-get install -qq --yes --no-install-recommends nginx-light)

# -- the gateway's page ------------------------------------------------------------------------------------------------

# Its bundle is committed, so that neither users nor wheels need Node.js.
page: web/node_modules/.installed
	cd web && node --test && node build.js

# The documents' pictures of it: the gateway itself in front of the replica, under load.
screenshots: $(VENV)/.built chromium
	$(BIN)/python tests/browser/looking/screenshots.py docs/images

web/node_modules/.installed: web/package.json web/package-lock.json
	cd web && npm ci --loglevel=error
	touch $@

# Programs of other people that use ours, in an environment of their own: what they need must not decide what we need.
test-clients: .venv-clients/.installed
	rm -rf dist/clients && $(BIN)/maturin build --quiet --release --locked --out dist/clients
	.venv-clients/bin/python -m pip install --quiet --disable-pip-version-check --force-reinstall --no-deps dist/clients/*.whl
	.venv-clients/bin/python -m pytest tests/clients

.venv-clients/.installed: requirements-clients.lock $(VENV)/.installed
	$(PYTHON) -m venv .venv-clients
	.venv-clients/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-clients.lock
	touch $@

# -- the documents -----------------------------------------------------------------------------------------------------

# Into docs/_build, with warnings as errors. The environment is for Sphinx alone; the extension is that of the tests.
docs: .venv-docs/.installed $(VENV)/.built
	PYTHONPATH=python .venv-docs/bin/python -m sphinx --fail-on-warning --keep-going --nitpicky --fresh-env --quiet docs docs/_build
	@! grep -rlE '<(script|link|img|iframe)[^>]*(src|href)="(https?:)?//' --include='*.html' docs/_build  # fetched from strangers

.venv-docs/.installed: requirements-docs.lock
	$(PYTHON) -m venv .venv-docs
	.venv-docs/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-docs.lock
	touch $@

# -- conformance -------------------------------------------------------------------------------------------------------

# The kit over ours and the peers that the benchmarks have: the tables of docs/conformance.md, under DATE.
conformance: .venv-bench/.installed benchmarks/node_modules/.installed
	rm -rf dist/conformance && $(BIN)/maturin build --quiet --release --locked --out dist/conformance
	.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check --force-reinstall --no-deps dist/conformance/*.whl
	cd benchmarks && ../.venv-bench/bin/python conformance.py --date $(DATE)

# The cases the wheel carries, out of tests/vectors.
conformance-cases:
	$(PYTHON) scripts/conformance_cases.py

# -- speed -------------------------------------------------------------------------------------------------------------

# The wheel as it is shipped, against its peers: a table, the raw figures and a plot in benchmarks/results, under DATE.
DATE ?= $(shell date -u +%F)
BENCH := .venv-bench/bin/python

bench: .venv-bench/.installed .venv-gateways/.installed benchmarks/node_modules/.installed
	rm -rf dist/bench && $(BIN)/maturin build --quiet --release --locked --out dist/bench
	$(BENCH) -m pip install --quiet --disable-pip-version-check --force-reinstall --no-deps dist/bench/*.whl
	$(BENCH) benchmarks/decode.py --date $(DATE)
	$(BENCH) benchmarks/page.py --date $(DATE)
	$(BENCH) benchmarks/sign.py --date $(DATE)
	$(BENCH) benchmarks/memory.py --date $(DATE)
	$(BENCH) benchmarks/bulk.py --date $(DATE)
	$(if $(wildcard benchmarks/endtoend.py),$(BENCH) benchmarks/endtoend.py --date $(DATE))
	$(BENCH) benchmarks/gateway.py --date $(DATE)
	$(BENCH) benchmarks/plot.py --date $(DATE)

.venv-bench/.installed: requirements-bench.lock $(VENV)/.installed
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-bench.lock
	touch $@

# Other people's gateways, which want other versions than we do.
.venv-gateways/.installed: requirements-gateways.lock $(VENV)/.installed
	$(PYTHON) -m venv .venv-gateways
	.venv-gateways/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-gateways.lock
	touch $@

benchmarks/node_modules/.installed: benchmarks/package-lock.json
	npm ci --prefix benchmarks --silent --no-audit --no-fund
	touch $@

# -- the core's speed --------------------------------------------------------------------------------------------------

# Time by the clock, by Criterion: compares with the run before.
bench-rust:
	cargo bench --locked --package tailrace-core-tests --bench time

# Instructions, counted by Valgrind (which the machine must have) through Gungraun: compares with the committed counts.
GUNGRAUN_VERSION := $(shell sed -n '/^name = "gungraun-runner"/{n;s/version = "\(.*\)"/\1/p;}' Cargo.lock)
GUNGRAUN_RUNNER := $(abspath target/tools/gungraun-$(GUNGRAUN_VERSION)/bin/gungraun-runner)
INSTRUCTIONS := rust/core/benches/instructions.txt

bench-instructions: target/instructions.json
	scripts/compare_instructions.py $(INSTRUCTIONS) < $<

bench-instructions-renew: target/instructions.json
	scripts/compare_instructions.py --renew $(INSTRUCTIONS) < $<

target/instructions.json: $(GUNGRAUN_RUNNER) $(RUST_SOURCES)
	GUNGRAUN_RUNNER=$< cargo bench --locked --package tailrace-core-tests --bench instructions -- --output-format=json > $@.part
	mv $@.part $@

$(GUNGRAUN_RUNNER):
	cargo install --quiet --locked --root $(@D)/.. --version $(GUNGRAUN_VERSION) gungraun-runner

# -- any input ---------------------------------------------------------------------------------------------------------

# Each target of rust/fuzz for FUZZ_SECONDS, or for FUZZ_RUNS inputs; of some targets only: FUZZ_TARGETS="json sse".
FUZZ_SECONDS ?= 60
FUZZ := scripts/fuzz.py $(if $(FUZZ_RUNS),--runs $(FUZZ_RUNS),--seconds $(FUZZ_SECONDS)) $(FUZZ_TARGETS)

fuzz: target/tools/bin/cargo-fuzz
	$(FUZZ)

# The same, and what was found is kept in rust/fuzz/corpora.
fuzz-keep: target/tools/bin/cargo-fuzz
	$(FUZZ) --keep

# The streams without end, read as far as so many MiB each, by the core and through the wheel; the ordinary tests read less.
SCALE_MIB ?= 10240

scale: $(VENV)/.built
	SCALE_MIB=$(SCALE_MIB) cargo test --locked --release --package tailrace-core-tests --test scale -- --nocapture --test-threads=1
	SCALE_MIB=$(SCALE_MIB) $(BIN)/python -m pytest --timeout=0 --durations=0 tests/unit/test_native_scale.py

target/tools/bin/cargo-fuzz:
	cargo install --quiet --locked --root target/tools cargo-fuzz

# -- the rest ----------------------------------------------------------------------------------------------------------

lint: $(VENV)/.built
	cargo fmt --all --check
	cargo fmt --manifest-path rust/fuzz/Cargo.toml --check
	cargo clippy --locked --workspace --all-targets -- --deny warnings
	cargo clippy --locked --package tailrace-core --all-targets -- --deny warnings
	cargo clippy --locked --package tailrace-core --no-default-features -- --deny warnings
	RUSTDOCFLAGS="--deny warnings --deny rustdoc::all" cargo doc --locked --no-deps --package tailrace-core --all-features
	scripts/check-core-is-pure
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/mypy --platform win32 --exclude gateway/workers.py python
	$(BIN)/python -m mypy.stubtest tailrace._native
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/pyright --verifytypes tailrace --ignoreexternal
	$(BIN)/lint-imports

# The workflows: their syntax and the scripts in them, and what of them could be misused.
ACTIONLINT := github.com/rhysd/actionlint/cmd/actionlint@v1.7.12

lint-workflows: $(VENV)/.installed
	$(BIN)/zizmor --offline .github
	go run $(ACTIONLINT)

# Licences, sources and known faults of the crates, by deny.toml.
CARGO_DENY_VERSION := 0.20.2

deny: target/tools/bin/cargo-deny
	$< --all-features --locked check

target/tools/bin/cargo-deny:
	cargo install --quiet --locked --root target/tools --version $(CARGO_DENY_VERSION) cargo-deny

format: $(VENV)/.installed
	cargo fmt --all
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

wheel: $(VENV)/.installed
	$(BIN)/maturin build --release --locked --out dist

sdist: $(VENV)/.installed
	$(BIN)/maturin sdist --out dist

# The wheels that are published, of every Linux and for every ABI, wherever this runs: see scripts/build_wheels.py.
WHEELS_FOR ?= x86_64-unknown-linux-gnu aarch64-unknown-linux-gnu x86_64-unknown-linux-musl aarch64-unknown-linux-musl
WHEELS_OF ?= python3.11 python3.14t python3.15t

wheels: .venv-wheels/.installed
	rustup target add $(WHEELS_FOR)
	set -e; for target in $(WHEELS_FOR); do \
		PATH="$(abspath .venv-wheels/bin):$$PATH" scripts/build_wheels.py $$target $(WHEELS_OF); \
	done

# All that lies in dist, as an index and a packager look at it; what claims abi3 is held to it. (Of abi3t abi3audit does
# not know the entry point yet.)
wheels-check: .venv-wheels/.installed
	.venv-wheels/bin/twine check --strict dist/*.whl dist/*.tar.gz
	.venv-wheels/bin/check-wheel-contents dist/*.whl
	.venv-wheels/bin/abi3audit --strict --summary dist/*-cp311-abi3-*.whl

# What of dist suits this Python, in a clean environment, with its tests.
wheels-try:
	scripts/try_wheel.py $(PYTHON) dist

.venv-wheels/.installed: requirements-wheels.lock
	$(PYTHON) -m venv .venv-wheels
	.venv-wheels/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-wheels.lock
	touch $@

clean:
	rm -rf $(VENV) .venv-docs docs/_build .venv-clients .venv-bench .venv-gateways .venv-wheels web/node_modules benchmarks/node_modules dist target
	find python tests benchmarks -name __pycache__ -prune -exec rm -rf {} +
