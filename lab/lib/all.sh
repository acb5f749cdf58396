# shellcheck shell=bash
# The library of the scenarios: source this first. It runs on the emulated host.
set -Eeuo pipefail
lab_lib=$(dirname "${BASH_SOURCE[0]}")
lab_log=/log
lab_guests=()
for lab_part in tap wait guest host traffic frames gangway peer; do . "$lab_lib/$lab_part.sh"; done

lab_cleanup() {
	local g
	set +e
	for g in "${lab_guests[@]}"; do guest_stop "$g"; done
	gangwayd_stop
	wire_down
	[[ -z $lab_peer || $LAB_HOST == b ]] || on_b lab_cleanup
}
