# shellcheck shell=bash
# wait_until SECONDS COMMAND...: try COMMAND every 20 ms until it succeeds or the time is over. For what tells nobody
# when it happens; where there is an event, wait for that.
exec {lab_never}<> <(:) # a pipe that never has anything to read
wait_until() {
	local end=$((${EPOCHREALTIME/./} + $1 * 1000000)); shift
	until "$@"; do
		[[ ${EPOCHREALTIME/./} -lt $end ]] || { echo "not in time: $*"; return 1; }
		read -r -t 0.02 -u "$lab_never" || true
	done
}
