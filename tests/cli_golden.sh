#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What `gangway` prints, asks and exits with, against a scripted daemon, compared with tests/cli/golden/*.txt.
#
#   tests/cli_golden.sh [--update] [BUILD_DIR [CASE...]]
#
# tests/cli/cases has one case a line: NAME SCRIPT [@MODE...] [VAR=VALUE...] ARGUMENTS. Modes: @tty stderr is a terminal, @int
# SIGINT after a while, @full stdout is a full disk. --update writes the golden files anew: read the difference before it is
# committed.
set -u
top=$(cd "$(dirname "$0")/.." && pwd)
update=
if [ "${1:-}" = --update ]; then
	update=1
	shift
fi
build=$(cd "${1:-${O:-$top/build}}" && pwd) || exit 2
[ $# -gt 0 ] && shift
fake=$build/tests/cli/fakedaemon
tmp=$(mktemp -d) || exit 2
trap 'rm -rf "$tmp"' EXIT
cd "$tmp" || exit 2
mkdir bin
ln -s "$build/gangway" bin/gangway

unset GANGWAY_TIMEOUT POSIXLY_CORRECT COLUMNS
export GANGWAY_SOCKET=gangwayd.sock TZ=UTC LC_ALL=C.UTF-8 PATH="$tmp/bin:$PATH"

passed=0 failed=0

# The transcript of one case: the command, what it asked, stdout, stderr, exit code.
transcript()
{
	local script=$1 tty='' out=out code
	local -a command=(gangway)
	shift
	[ "$script" = - ] || script=$top/tests/cli/answers/$script
	echo "\$ gangway $*"
	while :; do
		case ${1:-} in
		@tty) tty=--tty ;;
		@int) command=(timeout --preserve-status -s INT 1.5 gangway) ;;
		@full) out=/dev/full ;;
		[A-Z]*=*) export "${1?}" ;;
		*) break ;;
		esac
		shift
	done
	: >log
	: >out
	# shellcheck disable=SC2086
	"$fake" $tty gangwayd.sock "$script" log "${command[@]}" "$@" >$out 2>err </dev/null
	code=$?
	cat log out
	[ -s err ] && { echo '--- stderr'; cat err; }
	echo "--- exit $code"
	case " $* " in
	*' -j '* | *' -p '* | *' --json '* | *' -jq '*)
		if [ $out = out ] && ! "$fake" --check-json <out; then
			echo '*** stdout is not JSON'
		fi ;;
	esac
}

while read -r name script args; do
	case $name in '' | '#'*) continue ;; esac
	if [ $# -gt 0 ]; then
		case " $* " in *" $name "*) ;; *) continue ;; esac
	fi
	golden=$top/tests/cli/golden/$name.txt
	( eval "transcript $script $args" ) | sed "s,$tmp,TMP,g; s/, [0-9]* s<CR>/, N s<CR>/g; s/\"version\": *\"[^\"]*\",\"protocol\":1},\"daemon\"/\"version\":\"VERSION\",\"protocol\":1},\"daemon\"/; s/^gangway [^ ]*\$/gangway VERSION/" >got
	if [ -n "$update" ]; then
		cp got "$golden"
	elif diff -u "$golden" got; then
		passed=$((passed + 1))
	else
		echo "FAIL cli_golden $name"
		failed=$((failed + 1))
	fi
done <"$top/tests/cli/cases"

# a golden file without a case is a test that no longer runs
for golden in "$top"/tests/cli/golden/*.txt; do
	name=$(basename "$golden" .txt)
	if ! grep -q "^$name " "$top/tests/cli/cases"; then
		echo "FAIL cli_golden $name.txt has no case"
		failed=$((failed + 1))
	fi
done
echo "cli_golden: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
