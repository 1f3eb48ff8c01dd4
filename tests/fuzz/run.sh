#!/bin/sh
# Runs one fuzz target and says in a line how it went: run.sh BUILD SECONDS SEED TARGET; 0 seconds only tries the corpus.
set -eu
build=$1 seconds=$2 seed=$3 target=$4
found=$build/found
log=$found/$target.log
mkdir -p "$build/corpus/$target" "$found" "tests/fuzz/corpus/$target"
how=-max_total_time=$seconds
[ "$seconds" != 0 ] || how=-runs=0
if "$build/fuzz/$target" "$how" -seed="$seed" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
    -artifact_prefix="$found/$target-" "$build/corpus/$target" "tests/fuzz/corpus/$target" >"$log" 2>&1; then
	echo "ok   fuzz $target: $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") inputs tried"
else
	tail -n 40 "$log"
	echo "FAIL fuzz $target: the input is in $found"
	exit 1
fi
