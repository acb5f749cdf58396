# shellcheck shell=bash
# The library of the scenarios: source this first. It runs on the emulated host.
set -Eeuo pipefail
lab_lib=$(dirname "${BASH_SOURCE[0]}")
lab_log=/log
lab_guests=()
# shellcheck source=SCRIPTDIR/tap.sh
# shellcheck source=SCRIPTDIR/guest.sh
# shellcheck source=SCRIPTDIR/host.sh
# shellcheck source=SCRIPTDIR/traffic.sh
# shellcheck source=SCRIPTDIR/gangway.sh
for lab_part in tap guest host traffic gangway; do . "$lab_lib/$lab_part.sh"; done

lab_cleanup() {
	local g
	set +e
	for g in "${lab_guests[@]}"; do guest_stop "$g"; done
	gangwayd_stop
	wire_down
}
# wait_until SECONDS COMMAND...: try COMMAND every 20 ms until it succeeds or the time is over. For what tells nobody
# when it happens; where there is an event, wait for that.
exec {lab_never}<> <(:)
wait_until() {
	local end=$((${EPOCHREALTIME/./} + $1 * 1000000)); shift
	until "$@"; do
		[[ ${EPOCHREALTIME/./} -lt $end ]] || { echo "not in time: $*"; return 1; }
		read -r -t 0.02 -u "$lab_never" || true
	done
}
