# shellcheck shell=bash
# TAP: what a scenario reports. Its tests go to descriptor 3; standard output and error are its log.
#   check DESC COMMAND...   ok if COMMAND succeeds; on failure its output becomes the diagnosis
#   ok DESC / not_ok DESC [DIAGNOSIS] / skip DESC REASON / diag TEXT / bail REASON / figure TEXT
# The plan is printed when the scenario ends. One that ends early by an error fails a test of its own.

tap_say() { echo "$1" >&3; echo "$1"; }
tap_count=0 tap_failed=0 tap_figure='' tap_done=0

diag() { local line; while IFS= read -r line; do echo "# $line" >&3; done <<<"$*"; echo "# $*"; }
ok() { tap_count=$((tap_count + 1)); tap_say "ok $tap_count - $1"; }
not_ok() {
	tap_count=$((tap_count + 1)) tap_failed=$((tap_failed + 1))
	tap_say "not ok $tap_count - $1"
	[[ -z ${2-} ]] || diag "$2"
}
skip() { tap_count=$((tap_count + 1)); tap_say "ok $tap_count - $1 # SKIP $2"; }
bail() { tap_done=1; tap_say "Bail out! $*"; exit 1; }
figure() { tap_figure="${tap_figure:+$tap_figure; }$*"; }

# COMMAND runs in this shell, so what it sets stays set.
check() {
	local desc=$1 out=/run/lab/check.out status=0; shift
	echo "+ $*"
	"$@" >"$out" 2>&1 || status=$?
	cat "$out"
	if [[ $status -eq 0 ]]; then
		ok "$desc"
	else
		not_ok "$desc" "$(tail -n 40 "$out" | grep . || echo "status $status: $*")"
	fi
}
# expect_status STATUS COMMAND...: succeed if COMMAND ends with exactly that status
expect_status() {
	local want=$1 status=0; shift
	"$@" || status=$?
	[[ $status -eq $want ]] || { echo "exit status $status, wanted $want: $*"; return 1; }
}

tap_end() {
	local status=$?
	trap - EXIT
	[[ $tap_done -eq 0 ]] || exit "$status"
	[[ $status -eq 0 ]] || not_ok "the scenario came to its end" "it stopped with status $status near line $tap_line of ${0##*/}"
	lab_cleanup
	echo "1..$tap_count" >&3
	echo "# figure: ${tap_figure:-none}" >&3
	[[ $tap_failed -eq 0 ]]
	exit
}
tap_line='?'
trap 'tap_line=$LINENO' ERR
trap tap_end EXIT
