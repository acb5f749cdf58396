# shellcheck shell=bash
# gangway on the emulated host.
#   gangwayd_start; gangwayd_stop; gangwayd_kill; gangwayd_pid
#   gw ARG...          run gangway, its output and status as they are (and in the log)
#   gwj ARG...         the same with JSON output

gangwayd_pid=''
gangwayd_socket=/run/gangway/gangwayd.sock

gangwayd_start() {
	gangwayd "$@" >>"$lab_log/gangwayd.log" 2>&1 3>&- &
	gangwayd_pid=$!
	wait_until 10 gangwayd_answers
}
gangwayd_answers() { kill -0 "$gangwayd_pid" || return 0; [[ -S $gangwayd_socket ]] && gangway status >/dev/null 2>&1; }
gangwayd_end() {
	local pid=$gangwayd_pid
	[[ -n $pid ]] || return 0
	gangwayd_pid=''
	kill -"$1" "$pid" || true
	wait "$pid" || true
}
gangwayd_stop() { gangwayd_end TERM; }
gangwayd_kill() { gangwayd_end KILL; }
gw() { echo "\$ gangway $*" >>"$lab_log/commands.log"; gangway "$@"; }
gwj() { gw -j "$@"; }
