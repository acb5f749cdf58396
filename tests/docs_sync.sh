#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Do the verb table, --help, completion and the manual pages say the same?
#
#   tests/docs_sync.sh [BUILD_DIR]        (default: $O, else build)
#
# The command's own table (`gangway help --list`) is the measure. Daemon pages are held against what gangwayd --help and the
# table of keys in daemon/config.c say.
set -u
top=$(cd "$(dirname "$0")/.." && pwd)
build=$(cd "${1:-${O:-$top/build}}" && pwd) || exit 2
gangway=$build/gangway
tmp=$(mktemp -d) || exit 2
trap 'rm -rf "$tmp"' EXIT
export GANGWAY_SOCKET=$tmp/none # completion of names must not find a daemon here
failed=0 checked=0

# same WHAT FILE FILE
same()
{
	checked=$((checked + 1))
	if ! diff -u --label "$1: should be" --label "$1: is" "$2" "$3"; then
		echo "FAIL docs_sync $1"
		failed=$((failed + 1))
	fi
}

# Options as "--name=VALUE", one a line, from `.It Fl` lines: ".It Fl j , Fl -json" -> --json
man_opts='
function opts(line,    n, w, i, text) {
	n = split(line, w, " ")
	for (i = 1; i <= n; i++) {
		if (w[i] ~ /^-[a-z]/ && w[i - 1] == "Fl")
			text = "-" w[i]
		else if (w[i] == "Ar")
			text = text "=" w[i + 1]
	}
	return text
}'

"$gangway" help --list >"$tmp/list" || exit 1

# 1. gangway.1: the same commands, arguments and options, in the same order
awk "$man_opts"'
function flush() { if (verb != "") print verb "\t" args "\t" options; options = "" }
/^\.Sh OPTIONS/ { verb = "*"; args = "" }
/^\.It Ic/ && commands {
	flush()
	line = $0
	sub(/^\.It Ic /, "", line)
	verb = line; args = ""
	if (match(line, / (Ar|Op|Cm|Fl) /)) {
		verb = substr(line, 1, RSTART - 1)
		args = substr(line, RSTART + 1)
		while (match(args, /Op Ar [^ ]+/))
			args = substr(args, 1, RSTART - 1) "[" substr(args, RSTART + 6, RLENGTH - 6) "]" substr(args, RSTART + RLENGTH)
		gsub(/Fl -/, "--", args)
		gsub(/(Ar|Cm) /, "", args)
	}
}
/^\.It Fl/ { options = options " " opts($0) }
/^\.Sh COMMANDS/ { commands = 1 }
/^\.Sh JSON/ { flush(); verb = ""; commands = 0 }
' "$top/docs/man/gangway.1" >"$tmp/man"
same "docs/man/gangway.1" "$tmp/list" "$tmp/man"

# 2. --help: every command in the overview, every option under its command
"$gangway" --help >"$tmp/help"
tr '\t' '\037' <"$tmp/list" >"$tmp/rows" # tabs are white space to read: empty fields would vanish
while IFS=$'\037' read -r verb args options; do
	if [ "$verb" = '*' ]; then
		tr ' ' '\n' <<<"$options" | sed -n 's/=.*//; /^--/p' >"$tmp/want"
		grep -oE '^  (-[a-zA-Z], |    )--[a-z-]+' "$tmp/help" | grep -oE -- '--[a-z-]+' >"$tmp/got"
		same "gangway --help, options" "$tmp/want" "$tmp/got"
		continue
	fi
	printf '%s\n' "$verb${args:+ $args}" >"$tmp/want"
	grep -oF -- "  $verb${args:+ $args} " "$tmp/help" | sed 's/^ *//; s/ *$//' >"$tmp/got"
	same "gangway --help, $verb" "$tmp/want" "$tmp/got"
	# shellcheck disable=SC2086
	"$gangway" help $verb >"$tmp/one"
	tr ' ' '\n' <<<"$options" | sed -n 's/=/ /; /^--/p' >"$tmp/want"
	sed -n 's/^      \(--[a-z-]*\( [^ ]*\)\{0,1\}\)  *.*/\1/p' "$tmp/one" | sed 's/ *$//' >"$tmp/got"
	same "gangway help $verb" "$tmp/want" "$tmp/got"
	# 3. completion: the words of the command, and exactly its options and the global ones
	"$gangway" --complete "${verb%% *}" | sort -u >"$tmp/got"
	echo "${verb%% *}" >"$tmp/want"
	same "completion of ${verb%% *}" "$tmp/want" "$tmp/got"
	if [ "$verb" != "${verb#* }" ]; then
		"$gangway" --complete "${verb% *}" "${verb#* }" >"$tmp/got"
		echo "${verb#* }" >"$tmp/want"
		same "completion of $verb" "$tmp/want" "$tmp/got"
	fi
	# shellcheck disable=SC2086
	"$gangway" --complete $verb -- | sort >"$tmp/got"
	{ tr ' ' '\n' <<<"$options"; sed -n 's/^\*\t\t//p' "$tmp/list" | tr ' ' '\n'; } | sed -n 's/=.*//; /^--/p' | sort >"$tmp/want"
	same "completion of the options of $verb" "$tmp/want" "$tmp/got"
done <"$tmp/rows"

# 4. the script for bash asks the command, and bash takes it
checked=$((checked + 1))
if ! bash -n "$top/cli/completion.bash" || ! PATH=$build:$PATH bash -c '. "$1"; COMP_LINE="gangway pf l" COMP_POINT=12
	_gangway && [ "${COMPREPLY[*]}" = list ]' bash "$top/cli/completion.bash"; then
	echo "FAIL docs_sync cli/completion.bash"
	failed=$((failed + 1))
fi

# 5. exit codes: err.h, the page and --help
sed -n 's/^\tEXIT_[A-Z_]* = \([0-9]*\),.*/\1/p' "$top/include/err.h" >"$tmp/want"
sed -n '/^\.Sh EXIT STATUS/,/^\.El/s/^\.It \([0-9]*\)$/\1/p' "$top/docs/man/gangway.1" >"$tmp/got"
same "exit codes in gangway.1" "$tmp/want" "$tmp/got"
sed -n '/^Exit codes:/,/^`/p' "$tmp/help" | grep -oE '[0-9]+' >"$tmp/got"
same "exit codes in --help" "$tmp/want" "$tmp/got"

# 6. the daemon's pages
if [ -x "$build/gangwayd" ]; then
	"$build/gangwayd" --help | grep -oE -- '--[a-z-]+' >"$tmp/want"
	sed -n 's/^\.It Fl .*-\(-*[a-z-]*\)/&/p' "$top/docs/man/gangwayd.8" | grep -oE 'Fl -[a-z-]+' | sed 's/^Fl /-/' >"$tmp/got"
	same "docs/man/gangwayd.8" "$tmp/want" "$tmp/got"
else
	echo "SKIP docs_sync docs/man/gangwayd.8: no gangwayd in $build"
fi
if [ -f "$top/daemon/config.c" ]; then
	sed -n '/struct key keys/,/^};/s/^\t{ "[a-z]*", "\([a-z_]*\)".*/\1/p' "$top/daemon/config.c" >"$tmp/want"
	sed -n 's/^\.It Cm //p' "$top/docs/man/gangway.conf.5" >"$tmp/got"
	same "docs/man/gangway.conf.5" "$tmp/want" "$tmp/got"
fi
echo "docs_sync: $checked checked, $failed failed"
[ "$failed" -eq 0 ]
