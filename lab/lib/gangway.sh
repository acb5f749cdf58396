# shellcheck shell=bash
# gangway on the emulated host.
#   gangwayd_start [ARG...]; gangwayd_stop; gangwayd_kill
#   gw ARG...                     run gangway, its output and status as they are; noted in /log/commands.log
#   gwj ARG...                    the same with JSON output
#   gw_field FILTER ARG...        one value of the JSON output, by a jq filter
#   gw_error STATUS CODE ARG...   succeed if the command is refused: that exit status, an error of that code (a regular
#                                 expression), a message and a hint
#   leases [GUEST]                how many leases there are, or GUEST has
#   lease_field GUEST FILTER      a field of a guest's lease
#   leg_is GUEST LEG              its NIC has come to rest on that leg, passthrough or emulated
#   vm1_begins [VIA]              checks: gangwayd, 2 VFs, guest vm1 with a VF and a macvtap, at $mac and $addr; the host before is in /run/lab/before
#   pair_up GUEST ADDR            checks, of a guest just attached with an emulated leg: it comes to rest on its VF, has paired the two,
#                                 and their interface has got ADDR

gangwayd_pid=''
gangwayd_socket=/run/gangway/gangwayd.sock

# Without arguments it routes no interrupts: one that arrives on the processor where a vCPU of the emulated guest runs is what breaks that guest most often
# (lab/README.md, QEMU's SVM). lab/run irq tells gangwayd otherwise.
gangwayd_start() {
	if [[ $# -eq 0 ]]; then
		printf '[irq]\nroute = no\n' >/run/lab/no-route.conf
		chmod 644 /run/lab/no-route.conf
		set -- --config /run/lab/no-route.conf
	fi
	gangwayd "$@" >>"$lab_log/gangwayd.log" 2>&1 3>&- &
	gangwayd_pid=$!
	wait_until 10 gangwayd_settled && kill -0 "$gangwayd_pid"
}
# Either it answers or it has ended.
gangwayd_settled() { ! kill -0 "$gangwayd_pid" 2>/dev/null || { [[ -S $gangwayd_socket ]] && gangway status >/dev/null 2>&1; }; }
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
gw_field() { local filter=$1; shift; gwj "$@" | jq -r "$filter"; }
leases() { gw_field '.leases | length' status ${1:+"$1"}; }
no_lease() { [[ $(leases "$1") -eq 0 ]]; }
lease_field() { gw_field ".leases[0]$2" status "$1"; }
leg_is() { [[ $(lease_field "$1" '| "\(.leg) \(.switch.state)"') == "$2 $2" ]]; }
pair_up() {
	check "it comes to rest on its VF" wait_until 20 leg_is "$1" passthrough
	check "the guest has paired its two legs" wait_until 20 guest_pair "$1"
	check "their interface has an address and a carrier" guest_address "$1" "$(guest_pair "$1")" "$2/24"
}

vm1_begins() {
	gangwayd_start
	check "pf set: 2 VFs" gw pf set "$pf" vfs 2
	pf_ready
	host_snapshot /run/lab/before
	guest_start vm1
	check "guest add" gw guest add vm1 --qmp "$(guest_qmp_path vm1)"
	check "attach with an emulated leg" gw attach vm1 "$pf" --via "${1:-vfio-pci}" --standby macvtap --mac "${mac:?}"
	pair_up vm1 "${addr:?}"
}

gw_error() {
	local want=$1 code=$2 status=0 out; shift 2
	out=$(gwj "$@") || status=$?
	echo "$out"
	[[ $status -eq $want ]] || { echo "exit status $status, wanted $want"; return 1; }
	jq -e --arg code "^($code)\$" '.error | (.code | test($code)) and (.message | length > 0) and (.hint | length > 0)' <<<"$out" ||
		{ echo "wanted the code $code, a message and a hint"; return 1; }
}
