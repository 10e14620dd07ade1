# `make help` lists what there is. `make` is lint and test. Every target sets up what it needs; nothing has to be
# installed by hand.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check
RUST_SOURCES := $(shell find rust/bindings rust/core -name '*.rs') $(wildcard rust/*/Cargo.toml) Cargo.toml Cargo.lock
FLEET_SOURCES := $(shell find rust/core/src rust/fleet -name '*.rs') $(shell find rust/fleet/python -name '*.py*') \
	$(wildcard rust/fleet/*.toml rust/fleet/*/Cargo.toml) rust/fleet/Cargo.lock Cargo.toml

# How many processes share the tests of Python: one more than there are cores, as many tests wait for a socket.
TEST_PROCESSES ?= $(shell $(PYTHON) -c 'import os; print((os.cpu_count() or 1) + 1)')

NPM := $(shell command -v npm)

.PHONY: all help demo test test-fast test-rust test-python test-clients test-packages test-frameworks test-programs \
	test-node test-llama test-locust test-ray test-inspect test-rust-clients test-fleet programs page screenshots docs \
	conformance conformance-cases bench bench-rust bench-instructions fuzz scale lint msrv audit format wheel sdist plugin wheels \
	wheels-check wheels-try clean

all: lint test ## lint and test

help: ## this list
	@awk 'BEGIN { FS = ":.*## " } \
		/^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z-]+:.*## / { printf "  %-20s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# -- setting up --------------------------------------------------------------------------------------------------------

# Ours, and those of other people's programs: PEERS has our wheel beside them, the others want other versions than ours
# allows. Each lock of requirements/ is installed into one of them when something first needs it.
PEERS := .venv-peers
OTHERS := .venv-gateways .venv-frameworks .venv-aider .venv-llama .venv-locust .venv-ray .venv-inspect \
	.venv-conformance
GATEWAYS := .venv-gateways
FRAMEWORKS := .venv-frameworks
AIDER := .venv-aider
LLAMA := .venv-llama
LOCUST := .venv-locust
RAY := .venv-ray
CONFORMANCE := .venv-conformance
INSPECT := .venv-inspect

$(addsuffix /bin/python,$(VENV) $(PEERS) $(OTHERS)):
	$(PYTHON) -m venv $(patsubst %/bin/python,%,$@)

define install-lock
$(1)/.%: requirements/%.lock | $(1)/bin/python
	$(1)/bin/python $(PIP_INSTALL) -r $$<
	touch $$@
endef
$(foreach venv,$(VENV) $(PEERS) $(OTHERS),$(eval $(call install-lock,$(venv))))

# The extension is built for release here too: what is tested is what is shipped.
$(VENV)/.built: $(VENV)/.dev pyproject.toml README.md $(RUST_SOURCES)
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python $(PIP_INSTALL) --no-deps --no-build-isolation --editable .
	touch $@

# The wheel of many streams at once, which is its own. It shares the folder of what is compiled.
target/fleet/.wheel: $(VENV)/.dev $(FLEET_SOURCES)
	rm -rf dist/fleet && $(BIN)/maturin build --quiet --release --locked --out dist/fleet \
		--manifest-path rust/fleet/bindings/Cargo.toml --target-dir target/fleet
	touch $@

$(VENV)/.fleet: $(VENV)/.built
$(PEERS)/.fleet: $(PEERS)/.wheel
$(VENV)/.fleet $(PEERS)/.fleet: %/.fleet: target/fleet/.wheel
	$*/bin/python $(PIP_INSTALL) --force-reinstall --no-deps dist/fleet/*.whl
	touch $@

# The wheel, as other people's programs have it.
$(PEERS)/.wheel: $(VENV)/.dev pyproject.toml README.md $(RUST_SOURCES) $(shell find python -name '*.py') | $(PEERS)/bin/python
	rm -rf dist/peers && $(BIN)/maturin build --quiet --release --locked --out dist/peers
	$(PEERS)/bin/python $(PIP_INSTALL) --force-reinstall --no-deps dist/peers/*.whl
	touch $@

# The plugin of llm, a wheel of its own beside ours.
$(PEERS)/.plugin: $(VENV)/.dev $(PEERS)/.wheel $(shell find plugins -name '*.py' -o -name '*.toml' -o -name '*.md')
	rm -rf dist/plugins
	$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist/plugins plugins/llm-tailrace
	$(PEERS)/bin/python $(PIP_INSTALL) --force-reinstall --no-deps dist/plugins/*.whl
	touch $@

$(LOCUST)/.wheel $(RAY)/.wheel $(CONFORMANCE)/.wheel: %/.wheel: $(PEERS)/.wheel | %/bin/python
	$*/bin/python $(PIP_INSTALL) --force-reinstall --no-deps dist/peers/*.whl
	touch $@

##@ The two commands

demo: $(VENV)/.built ## a reply, read as it arrives, from a site on this machine
	$(BIN)/python examples/demo.py

# Rust is compiled and tested beside Python: the one waits for the disk, the linker or a socket while the other runs.
test: ## every test
	+$(MAKE) --no-print-directory --jobs=2 test-rust test-python test-fleet

##@ Testing

# The crate and its tests, in one resolution of features, so that what both need is compiled once; and with none of
# what chat sites alone need.
CORE := --locked --package tailrace-core --package tailrace-core-tests
WITHOUT_SITES := $(CORE) --no-default-features --features tailrace-core/std
# Where little runs, to optimize the crate would take the most of the time.
UNOPTIMIZED := --config profile.dev.package.tailrace-core.opt-level=0

# The inner loop: seconds, once built. What is heavy has a module `heavy` in Rust, and a mark in Python.
test-fast: $(VENV)/.built ## the Rust tests, and the unit and property tests of Python, both without the heavy ones
	cargo test --quiet $(CORE) $(UNOPTIMIZED) --lib
	cargo test --quiet $(CORE) --test '*' -- --skip heavy::
	$(BIN)/python -m pytest -q -n $(TEST_PROCESSES) --dist worksteal -m "not heavy" --hypothesis-profile=fast \
		tests/unit tests/property

test-rust: ## the tests of the crates, and the crate without `sites`
	cargo test $(CORE) --test '*'
	cargo test $(CORE) --doc
	cargo test $(CORE) $(UNOPTIMIZED) --lib
	cargo build $(WITHOUT_SITES) $(UNOPTIMIZED) --examples
	cargo test $(WITHOUT_SITES) $(UNOPTIMIZED) --test interface
	cargo test $(WITHOUT_SITES) $(UNOPTIMIZED) --doc

test-python: $(VENV)/.built ## the tests of Python, the gateway's page in a browser, the documents
	$(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist worksteal

# The gateway's page is tested in a browser where there is one, and its bundle against its sources where there is npm;
# the gateway behind nginx where there is one. CI has the choice taken from it: it installs Debian's, and fails without.
ifneq ($(NPM),)
test-python: web/node_modules/.installed
endif
ifneq ($(filter-out 0 false,$(CI)),)
test-python: programs
# What would make the next build quicker makes the first one slower.
export CARGO_INCREMENTAL := 0
endif

test-fleet: $(VENV)/.fleet ## many streams at once: the tests of its crates, and of its wheel
	cargo test --locked --manifest-path rust/fleet/Cargo.toml --target-dir target/fleet --package tailrace-fleet-engine
	$(if $(wildcard tests/fleet),$(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist worksteal tests/fleet)

# Programs of other people that use ours: what they need must not decide what we need. Those in environments of their
# own find the gateway that runs beside them.
test-clients: test-packages test-frameworks test-programs test-node test-llama test-locust test-ray test-inspect test-rust-clients ## other people's clients, over all we have

WITH_GATEWAY := $(PEERS)/bin/python tests/clients/with_gateway.py

test-packages: $(PEERS)/.clients $(PEERS)/.wheel $(PEERS)/.plugin ## the official packages, gpt4free, litellm, LangChain, llm and its plugin
	$(PEERS)/bin/python -m pytest $(wildcard tests/clients/test_*.py)
	$(PEERS)/bin/python -m pytest plugins/llm-tailrace/tests

# What they leave unclosed is theirs to warn of.
test-frameworks: $(PEERS)/.clients $(PEERS)/.wheel $(FRAMEWORKS)/.frameworks ## frameworks in front of the gateway
	$(WITH_GATEWAY) $(FRAMEWORKS)/bin/python -m pytest --override-ini filterwarnings=ignore \
		--confcutdir tests/clients/frameworks tests/clients/frameworks

test-programs: $(PEERS)/.clients $(PEERS)/.wheel $(AIDER)/.aider $(GATEWAYS)/.gateways ## aider, and litellm's proxy
	$(PEERS)/bin/python -m pytest tests/clients/programs

test-node: $(PEERS)/.clients $(PEERS)/.wheel $(if $(NPM),tests/clients/node/node_modules/.installed) ## clients from npm
	$(if $(NPM),$(WITH_GATEWAY) npm test --prefix tests/clients/node,@echo "there is no npm: the clients from it are left out")

tests/clients/node/node_modules/.installed: tests/clients/node/package.json tests/clients/node/package-lock.json
	npm ci --prefix tests/clients/node --silent
	touch $@

# It is built from C++: some minutes, once.
test-llama: $(PEERS)/.clients $(PEERS)/.wheel $(LLAMA)/.llama ## a site and the gateway over llama.cpp's server
	$(PEERS)/bin/python -m pytest tests/clients/llama

test-locust: $(PEERS)/.clients $(PEERS)/.wheel $(LOCUST)/.locust $(LOCUST)/.wheel ## Locust with our user
	$(PEERS)/bin/python -m pytest tests/clients/locust

# Its workers are processes of their own, with the wheel; what Ray leaves unclosed is its own to warn of.
test-ray: $(RAY)/.ray $(RAY)/.wheel ## batches on a Ray cluster of this machine
	$(RAY)/bin/python -m pytest --override-ini filterwarnings=ignore --confcutdir tests/clients/ray tests/clients/ray

test-inspect: $(PEERS)/.clients $(PEERS)/.wheel $(INSPECT)/.inspect ## Inspect's evaluation over the gateway
	$(PEERS)/bin/python -m pytest tests/clients/inspect

# Other people's crates, in a workspace of their own.
PEERS_OF_THE_CORE := --locked --manifest-path rust/peers/Cargo.toml --target-dir target/peers

test-rust-clients: ## the core's streams over reqwest and axum, as the guide shows them
	cargo fmt --manifest-path rust/peers/Cargo.toml --check
	cargo test $(PEERS_OF_THE_CORE) --tests

programs: ## Debian's chromium and nginx, where they are not there yet
	command -v chromium-headless-shell || command -v chromium || (apt-get update -qq \
		&& apt-get install -qq --yes --no-install-recommends chromium-headless-shell)
	test -x /usr/sbin/nginx || (apt-get update -qq && apt-get install -qq --yes --no-install-recommends nginx-light)

##@ Page and documents

# Its bundle is committed, so that neither users nor wheels need Node.js.
page: web/node_modules/.installed ## test the gateway's page, and build its bundle
	cd web && node --test && node build.js

# The documents' pictures of it: the gateway itself in front of the replica, under load.
screenshots: $(VENV)/.built programs ## take the documents' pictures of the page
	$(BIN)/python tests/browser/looking/screenshots.py docs/images

web/node_modules/.installed: web/package.json web/package-lock.json
	cd web && npm ci --loglevel=error
	touch $@

# With warnings as errors, and nothing in the pages that a browser would fetch from strangers.
# What they need is installed while the extension is compiled.
docs: $(VENV)/.dev ## build the documents into docs/_build
	+@$(MAKE) --no-print-directory --jobs=2 $(VENV)/.docs $(VENV)/.built
	$(BIN)/python -m sphinx --jobs auto --fail-on-warning --keep-going --nitpicky --fresh-env --quiet docs docs/_build
	@! grep -rlE '<(script|link|img|iframe)[^>]*(src|href)="(https?:)?//' --include='*.html' docs/_build
	@echo "The documents are in $(CURDIR)/docs/_build: open index.html there."

##@ Conformance and speed

# The kit over ours, the peers that the benchmarks have and the load generators: the tables of docs/conformance.md, under
# DATE.
conformance: $(PEERS)/.bench $(PEERS)/.wheel $(CONFORMANCE)/.generators $(CONFORMANCE)/.wheel \
		benchmarks/node_modules/.installed ## judge other decoders by the kit
	cd benchmarks && ../$(PEERS)/bin/python conformance.py --date $(DATE)

# Load generators as released, without what reads no reply: they depend on torch and on much else, several gigabytes.
# What reads replies needs the lock alone. inference-perf names Python 3.12 and runs on 3.11; of vLLM's wheel, which is
# not installed, the benchmark's request function is taken out.
GENERATORS := aiperf==0.13.0 guidellm==0.8.1 inference-perf==0.7.0
VLLM := vllm==0.33.0

$(CONFORMANCE)/.generators: $(CONFORMANCE)/.conformance Makefile scripts/part_of_wheel.py
	$(CONFORMANCE)/bin/python $(PIP_INSTALL) --no-deps --ignore-requires-python $(GENERATORS)
	$(CONFORMANCE)/bin/python -m pip download --quiet --no-deps --dest $(CONFORMANCE)/wheels $(VLLM)
	$(CONFORMANCE)/bin/python scripts/part_of_wheel.py $(CONFORMANCE)/wheels/vllm-*.whl \
		'vllm/benchmarks/lib/*' 'vllm-*.dist-info/METADATA'
	rm -r $(CONFORMANCE)/wheels
	touch $@

conformance-cases: ## bring the cases the wheel carries up to date with tests/vectors
	$(PYTHON) scripts/conformance_cases.py

# The wheel as it is shipped, against its peers: a table, the raw figures and a plot in benchmarks/results, under DATE.
DATE ?= $(shell date -u +%F)
BENCHMARKS := decode page sign memory bulk endtoend fast load batch fleet gateway plot

bench: $(PEERS)/.bench $(PEERS)/.wheel $(PEERS)/.fleet $(GATEWAYS)/.gateways $(RAY)/.ray $(RAY)/.wheel benchmarks/node_modules/.installed ## measure against the peers
	set -e; for each in $(BENCHMARKS); do $(PEERS)/bin/python benchmarks/$$each.py --date $(DATE); done
	$(RAY)/bin/python benchmarks/batch_ray.py --date $(DATE)

benchmarks/node_modules/.installed: benchmarks/package-lock.json
	npm ci --prefix benchmarks --silent --no-audit --no-fund
	touch $@

# Time by the clock, by Criterion: compares with the run before. Then as a ratio to other crates' time, in one run.
bench-rust: ## time the core's benches, and the core beside other crates
	cargo bench --locked --package tailrace-core-benches --bench time
	cargo bench $(PEERS_OF_THE_CORE) --bench peers

# Instructions, counted by Valgrind (which the machine must have) through Gungraun: compares with the committed counts.
GUNGRAUN_VERSION := $(shell sed -n '/^name = "gungraun-runner"/{n;s/version = "\(.*\)"/\1/p;}' Cargo.lock)
GUNGRAUN_RUNNER := $(abspath target/tools/gungraun-$(GUNGRAUN_VERSION)/bin/gungraun-runner)
INSTRUCTIONS := rust/core/benches/instructions.txt

bench-instructions: target/instructions.json ## count the core's instructions; RENEW=1 writes the new counts
	scripts/compare_instructions.py $(if $(RENEW),--renew) $(INSTRUCTIONS) < $<

target/instructions.json: $(GUNGRAUN_RUNNER) $(RUST_SOURCES)
	GUNGRAUN_RUNNER=$< cargo bench --locked --package tailrace-core-benches --bench instructions -- --output-format=json > $@.part
	mv $@.part $@

$(GUNGRAUN_RUNNER):
	cargo install --quiet --locked --root $(@D)/.. --version $(GUNGRAUN_VERSION) gungraun-runner

##@ Any input

# Each target of rust/fuzz for FUZZ_SECONDS, or for FUZZ_RUNS inputs; of some targets only: FUZZ_TARGETS="json sse".
# With KEEP=1, what was found is kept in rust/fuzz/corpora.
FUZZ_SECONDS ?= 60
FUZZ := $(if $(FUZZ_RUNS),--runs $(FUZZ_RUNS),--seconds $(FUZZ_SECONDS)) $(if $(KEEP),--keep) $(FUZZ_TARGETS)

fuzz: target/tools/bin/cargo-fuzz ## run the fuzz targets; KEEP=1 keeps what was found
	scripts/fuzz.py $(FUZZ)

# The streams without end, read as far as so many MiB each, by the core and through the wheel; the ordinary tests read less.
SCALE_MIB ?= 10240

scale: $(VENV)/.built ## read streams without end, 10 GiB each (SCALE_MIB)
	SCALE_MIB=$(SCALE_MIB) cargo test --locked --release --package tailrace-core-tests --test heap -- scale --nocapture --test-threads=1
	SCALE_MIB=$(SCALE_MIB) $(BIN)/python -m pytest --timeout=0 --durations=0 tests/unit/test_native_scale.py

target/tools/bin/cargo-fuzz:
	cargo install --quiet --locked --root target/tools cargo-fuzz

##@ Looking after the code

# Modules that a macro declares, which cargo fmt does not find.
MADE_BY_A_MACRO := $(wildcard rust/core/src/delta/dialects/*.rs)

lint: $(VENV)/.fleet $(VENV)/.lint ## formatting, lints, types and layers
	cargo fmt --all --check
	rustfmt --check --edition 2024 $(MADE_BY_A_MACRO)
	cargo fmt --manifest-path rust/fuzz/Cargo.toml --check
	cargo fmt --manifest-path rust/fleet/Cargo.toml --all --check
	cargo clippy --locked --workspace --all-targets --all-features -- --deny warnings
	cargo clippy --locked --package tailrace-core --all-targets -- --deny warnings
	cargo clippy --locked --package tailrace-core --no-default-features -- --deny warnings
	cargo clippy --locked --package tailrace-core --no-default-features --features stream -- --deny warnings
	cargo clippy --locked --manifest-path rust/fleet/Cargo.toml --target-dir target/fleet --workspace --all-targets -- --deny warnings
	RUSTDOCFLAGS="--deny warnings --deny rustdoc::all" cargo doc --locked --no-deps --package tailrace-core --all-features
	scripts/check-core-is-pure
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/mypy plugins/llm-tailrace/llm_tailrace
	$(BIN)/mypy --platform win32 --follow-imports silent --exclude gateway/_workers.py python
	$(BIN)/python -m mypy.stubtest tailrace._native
	$(BIN)/python -m mypy.stubtest tailrace_fleet._native
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/pyright --verifytypes tailrace --ignoreexternal
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/pyright --verifytypes tailrace_fleet --ignoreexternal
	$(BIN)/lint-imports

# The oldest Rust that the core promises, which rustup brings.
MSRV := $(shell sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)

msrv: ## build the core with the oldest Rust that it promises
	rustup toolchain install $(MSRV) --profile minimal --no-self-update
	cargo +$(MSRV) check --locked --package tailrace-core --all-features --target-dir target/msrv
	cargo +$(MSRV) check --locked --package tailrace-core --no-default-features --target-dir target/msrv

# The workflows: their syntax and the scripts in them, and what of them could be misused. The crates: licences, sources
# and known faults, by deny.toml.
ACTIONLINT := github.com/rhysd/actionlint/cmd/actionlint@v1.7.12
CARGO_DENY_VERSION := 0.20.2

audit: $(VENV)/.lint target/tools/bin/cargo-deny ## the workflows, and the crates' licences and known faults; needs Go
	$(BIN)/zizmor --offline .github
	go run $(ACTIONLINT)
	target/tools/bin/cargo-deny --all-features --locked check
	target/tools/bin/cargo-deny --manifest-path rust/fleet/Cargo.toml --all-features --locked check

target/tools/bin/cargo-deny:
	cargo install --quiet --locked --root target/tools --version $(CARGO_DENY_VERSION) cargo-deny

format: $(VENV)/.lint ## format, and mend what can be mended
	cargo fmt --all
	cargo fmt --manifest-path rust/fleet/Cargo.toml --all
	rustfmt --edition 2024 $(MADE_BY_A_MACRO)
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

##@ Wheels

wheel: $(VENV)/.dev ## a wheel for this machine, and one of the fleet, into dist
	$(BIN)/maturin build --release --locked --out dist
	cd rust/fleet && $(abspath $(BIN))/maturin build --release --locked --out $(abspath dist)

sdist: $(VENV)/.dev ## the source distribution, and that of the fleet, into dist
	$(BIN)/maturin sdist --out dist
	cd rust/fleet && $(abspath $(BIN))/maturin sdist --out $(abspath dist)

plugin: $(VENV)/.dev ## the wheel of llm's plugin, into dist
	$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist plugins/llm-tailrace

# The wheels that are published, of every Linux and for every ABI, wherever this runs: see scripts/build_wheels.py.
WHEELS_FOR ?= x86_64-unknown-linux-gnu aarch64-unknown-linux-gnu x86_64-unknown-linux-musl aarch64-unknown-linux-musl
WHEELS_OF ?= python3.11 python3.14t python3.15t

wheels: $(VENV)/.wheels ## the wheels that are published
	rustup target add $(WHEELS_FOR)
	set -e; for target in $(WHEELS_FOR); do \
		PATH="$(abspath $(BIN)):$$PATH" scripts/build_wheels.py $$target $(WHEELS_OF); \
	done

# All that lies in dist, as an index and a packager look at it; what claims abi3 is held to it. (Of abi3t abi3audit does
# not know the entry point yet.)
wheels-check: $(VENV)/.wheels ## look at all that lies in dist
	$(BIN)/twine check --strict dist/*.whl dist/*.tar.gz
	$(BIN)/check-wheel-contents dist/*.whl
	$(BIN)/abi3audit --strict --summary dist/*-cp311-abi3-*.whl

# What of dist suits this Python, in a clean environment, with its tests.
wheels-try: ## install what of dist suits this Python, and test it
	scripts/try_wheel.py $(PYTHON) dist

clean: ## remove all that was built and installed
	rm -rf $(VENV) $(PEERS) $(OTHERS) docs/_build $(addsuffix /node_modules,web benchmarks tests/clients/node) dist target
	find python tests benchmarks -name __pycache__ -prune -exec rm -rf {} +
