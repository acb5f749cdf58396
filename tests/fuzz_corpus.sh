#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Each fuzz target on its corpus in the tree: the seeds, and every input that once broke something (docs/HACKING.md). No fuzzer needed.
#
#   tests/fuzz_corpus.sh [BUILD_DIR]        (default: $O, else build)
set -u
top=$(cd "$(dirname "$0")/.." && pwd)
build=$(cd "${1:-${O:-$top/build}}" && pwd) || exit 2
out=$(mktemp) || exit 2
trap 'rm -f "$out"' EXIT
passed=0 failed=0
for corpus in "$top"/tests/fuzz/corpus/*/; do
	target=$build/tests/fuzz/fuzz_$(basename "$corpus")
	for input in "$corpus"*; do
		if timeout 60 "$target" "$input" >"$out" 2>&1; then
			passed=$((passed + 1))
		else
			failed=$((failed + 1))
			echo "FAIL fuzz_corpus ${input#"$top"/}"
			tail -n 30 "$out"
		fi
	done
done
echo "fuzz_corpus: $passed passed, $failed failed"
[[ $failed -eq 0 ]]
