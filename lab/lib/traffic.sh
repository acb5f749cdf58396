# shellcheck shell=bash
# The wire and what goes over it. Its far end is a NIC in the network namespace `wire` of the same host.
#   wire_up; wire COMMAND...           set the far end up (10.9.0.1/24, iperf3 servers); run COMMAND there
#   ping_guest ADDR                    20 pings from the wire, at most one of them lost
#   iperf NAME [PORT [SECONDS [ARG]]]  Mbit/s from guest NAME to the wire (ARG -R: the other way)
#   stream_start NAME ADDR [RATE]      a numbered UDP stream in both directions between guest NAME (at ADDR) and the wire
#   stream_stop NAME [on_b]            end it (the guest is on host b by now); $stream is {"to_guest": {...}, "from_guest": {...}} of udpstream's results

wire_addr=10.9.0.1
stream=''
stream_rate=200 # a guest of one emulated processor follows this beside other work; at 500 with iperf3 it does not
wire() { ip netns exec wire "$@"; }
wire_up() {
	local nic
	nic=$(basename "$(grep -lx 0x1af4 /sys/class/net/*/device/../vendor | sed 's,/device/.*,,')")
	ip netns add wire
	ip link set "$nic" netns wire name wire0
	wire ip link set lo up
	wire ip address add "$wire_addr/24" dev wire0
	wire ip link set wire0 up
	wire iperf3 -s -D -p 5201
	wire iperf3 -s -D -p 5202
}
wire_down() {
	local pid
	[[ -e /run/netns/wire ]] || return 0
	for pid in $(ip netns pids wire); do kill "$pid"; done
	ip netns delete wire # its NIC comes back
}
ping_guest() {
	local got
	got=$(wire ping -q -c 20 -i 0.02 -W 1 "$1" | sed -n 's/.* \([0-9]*\) received.*/\1/p')
	echo "$got of 20 pings answered"
	[[ ${got:-0} -ge 19 ]]
}
iperf() {
	guest_run "$1" "iperf3 -c $wire_addr -p ${2:-5201} -t ${3:-2} ${4:-} -J --connect-timeout 3000" $((${3:-2} + 20)) |
		jq -er 'if .error then error(.error) else .end.sum_received.bits_per_second / 1e6 | round end'
}
stream_start() {
	local name=$1 addr=$2 rate=${3:-$stream_rate} run=$RANDOM out=/run/lab/$1.stream
	ip netns exec wire /share/udpstream -l "$wire_addr:9001" -p "$addr:9001" -i "$run" -r "$rate" -t 600 >"$out.wire" 2>"$out.wire.err" &
	echo $! >"$out.wire.pid"
	guest_spawn "$name" stream "udpstream -l $addr:9001 -p $wire_addr:9001 -i $run -r $rate -t 600"
	wait_until 10 grep -q 'both ends' "$out.wire.err"
}
# Not to be called in a subshell: it waits for what stream_start has started.
stream_stop() {
	local out=/run/lab/$1.stream
	kill -TERM "$(<"$out.wire.pid")"
	wait "$(<"$out.wire.pid")" || true
	"${@:2}" guest_reap "$1" stream >"$out.guest" || true
	stream=$(jq -nc --slurpfile w "$out.wire" --slurpfile g <(grep '^{' "$out.guest") '{to_guest: $g[0], from_guest: $w[0]}')
	diag "stream: $stream"
}
# stream_lost: packets lost in both directions, or "unknown"
stream_lost() { jq -r 'if .to_guest.lost == null or .from_guest.lost == null then "unknown" else .to_guest.lost + .from_guest.lost end' <<<"$stream"; }
# stream_dark RATE: milliseconds without traffic, as the lost packets of a stream of RATE/s tell, of the direction that lost more
stream_dark() { jq -r --argjson rate "$1" '[.to_guest.lost, .from_guest.lost] | map((. // 1e9) * 1000 / $rate | round) | max' <<<"$stream"; }
