#!/bin/bash
# Finds out what the router does most: builds it with counters, puts the loads of the `compare` benchmark on it, and
# leaves the counts in FOLDER/shardgate.profdata for a build with profile-guided optimisation (`make release`).
#
#   benches/profile.sh FOLDER
#
# rustup's component llvm-tools has the program that merges counts; it is installed if it is missing.
set -euo pipefail
folder="$(mkdir -p "$1" && cd "$1" && pwd)"
cd "$(dirname "$0")/.."

host="$(rustc -vV | sed -n 's/^host: //p')"
merge="$(rustc --print sysroot)/lib/rustlib/$host/bin/llvm-profdata"
if [ ! -x "$merge" ]; then
    command -v rustup >/dev/null || { echo "llvm-profdata of this Rust is missing: install its llvm-tools" >&2; exit 1; }
    rustup component add llvm-tools
fi

# The same command as that of the final build. A build for a benchmark has the features of development dependencies too, and with
# them other names of all functions, by which counts are found again.
# Build scripts and macros count as well: that is of no interest.
LLVM_PROFILE_FILE="$folder/of-the-build.profraw" CARGO_TARGET_DIR="$folder/counting" RUSTFLAGS="-Cprofile-generate" \
    cargo build --release --bin shardgate
rm -rf "$folder/counts" "$folder/of-the-build.profraw"
# The program that makes the load need not be fast.
count() { # NAME LOADS
    SHARDGATE_BINARY="$folder/counting/release/shardgate" LLVM_PROFILE_FILE="$folder/counts/$1/%p.profraw" \
        cargo bench --profile dev --bench compare -- --targets=shardgate --loads="$2" --clients=8 --seconds=5 --repeats=1
    "$merge" merge -o "$folder/counts/$1.profdata" "$folder/counts/$1"/*.profraw
}
# Short statements only, and most of them of one shard: beside loops over many rows the compiler takes everything that a
# statement does once for cold.
count one-shard point-text,point-prepared,read-write
count all-shards scatter
"$merge" merge -o "$folder/shardgate.profdata" \
    -weighted-input=10,"$folder/counts/one-shard.profdata" -weighted-input=1,"$folder/counts/all-shards.profdata"
rm -rf "$folder/counts"
