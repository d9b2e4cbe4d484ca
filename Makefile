# Everything here is thin: the work is done by cargo, tests/engines/install.sh and the binary itself.
#
#   make demo                    a sharded cluster on this machine, served on port 15306 until Ctrl-C
#   make demo ENGINE=mysql       the same on MySQL; ARGS="--fresh --port 3307" goes to `shardgate demo`
#   make test                    everything that the CI checks
#   make release                 the fastest binary, built with a profile of its own work: target/profiled/release/shardgate
#   make bench                   micro benchmarks, then that binary beside HAProxy and MySQL Router
#   make fmt, make lint

ENGINE ?= auto
ARGS ?=

# rustup's directory is not in everybody's PATH.
export PATH := $(PATH):$(HOME)/.cargo/bin

# What `make release` builds with: the profile, and hot code in one place.
PROFILED := CARGO_TARGET_DIR=target/profiled \
	RUSTFLAGS="-Cprofile-use=$(CURDIR)/target/profiled/shardgate.profdata -Clink-arg=-Wl,-z,keep-text-section-prefix"

RUST_MIN := $(shell sed -n 's/^rust-version *= *"\(.*\)"/\1/p' Cargo.toml)
INSTALL := tests/engines/install.sh

.PHONY: demo test release bench fmt lint doc toolchain

demo: toolchain
	@$(INSTALL) $(if $(filter mysql,$(ENGINE)),--no-mariadb,--no-mysql)
	cargo build --release --bin shardgate
	target=$$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/'); \
	exec "$$target/release/shardgate" demo --engine $(ENGINE) $(ARGS)

test: toolchain lint doc
	@$(INSTALL)
	cargo test

release: toolchain
	@$(INSTALL) --bench
	benches/profile.sh target/profiled
	$(PROFILED) cargo build --release --bin shardgate

bench: release
	SHARDGATE_BINARY=$(CURDIR)/target/profiled/release/shardgate cargo bench

lint: toolchain
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings

doc: toolchain
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --document-private-items

fmt: toolchain
	cargo fmt

toolchain:
	@command -v cargo >/dev/null || { \
		echo "Rust is not installed. Install Rust $(RUST_MIN) or later from https://rustup.rs and try again." >&2; exit 1; }
	@found=$$(rustc --version | cut -d' ' -f2 | cut -d- -f1); \
	if [ "$$(printf '%s\n%s\n' "$(RUST_MIN)" "$$found" | sort -V | head -n 1)" != "$(RUST_MIN)" ]; then \
		echo "Rust $$found is too old: $(RUST_MIN) or later is needed (rustup update)." >&2; exit 1; fi
	@command -v cc >/dev/null || { \
		echo "No C compiler is installed, which the linker and two libraries need: apt-get install gcc libc6-dev" >&2; exit 1; }
