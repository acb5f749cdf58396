# shellcheck shell=bash
# about: hostile vfio-user clients, VMMs and control clients, beside a guest with a VF that loses nothing
# needs: gangway
# limit: 1800
# Arguments: which parts (vfio qmp control), with "vfio:storms,caps" some classes of one. Inputs and their classes: docs/hostile-inputs.md.
#
# Each class of inputs is tried with a stream of the guest beside it going on. Nested virtualization under TCG breaks (lab/README.md), and most
# of all in a guest under traffic for minutes: where the guest does not even answer on its command port, which has nothing to do with
# its VF, it is started again and the class with it. A guest that answers and has lost a packet, or whose stream hangs, is a failure.
. /share/lab/lib/all.sh
parts=("$@")
[[ $# -gt 0 ]] || parts=(vfio qmp control)
inputs=0 unnoticed=0 fds=0 packets=0 lost=0 broke=0

# The guest beside it has the second processor: what is tried is gangway, not the host's scheduler.
good_start() {
	local mark interface
	GUEST_PIN=1 guest_start good
	gw guest add good --qmp "$(guest_qmp_path good)" || return 1
	mark=$(guest_mark good)
	gw attach good "$pf/vf2" --standby none --via vfio-user --mac 52:54:00:aa:00:02 || return 1
	interface=$(guest_vf_wait good "$mark") && guest_address good "$interface" 10.9.0.11/24 && ping_guest 10.9.0.11
}
good_stop() { guest_stop good; wait_until 20 no_lease good && gw guest remove good; }
# A fresh guest has no traffic now and then, before anything hostile was sent: said, and what it looked like is in the log.
good_comes() {
	local try
	for try in 1 2 3; do
		good_start && return 0
		diag "the guest beside it came without traffic, try $try"
		gw status good -j || true
		ip -s link show "$pf"
		dmesg | tail -n 12
		autopsy=no guest_run good 'ip -s link; ip neigh; cat /proc/interrupts; lspci; dmesg | tail -n 8' 10 || true
		good_stop
	done
	return 1
}
good_answers() { autopsy=no guest_run good true 10 >/dev/null 2>&1; }
# stream_stop waits for both ends for good, and one of them may not come: a guest that breaks down at the end, a path that has stalled.
stream_over() {
	local status=0
	! kill -0 "$(</run/lab/good.stream.wire.pid)" 2>/dev/null || return 1
	autopsy=no guest_run good 'pidof udpstream' 10 >/dev/null 2>&1 || status=$?
	[[ $status -eq 1 ]]
}
stream_ends() {
	kill -TERM "$(</run/lab/good.stream.wire.pid)" || true
	wait_until 20 stream_over && stream_stop good
}
# Its path has stalled and the guest is there: what it looks like, and the end of the stream by force.
stream_stalled() {
	local out=/run/lab/good.stream
	wire ip -s link show wire0
	wire timeout 3 tcpdump -nni wire0 -c 20 || true
	wire ping -c 5 -i 0.2 -W 1 10.9.0.11 || true
	ip -s -d link show "$pf"
	ethtool -S "$pf" | grep -v ': 0$' || true
	grep -E 'eth0|vfio' /proc/interrupts
	autopsy=no guest_run good 'ip -s link; ip neigh; cat /proc/interrupts; dmesg | tail -n 8; killall -TERM udpstream; usleep 1000000; killall -KILL udpstream' 15 || true
	dmesg | tail -n 15
	kill -KILL "$(<"$out.wire.pid")" || true
	wait "$(<"$out.wire.pid")" || true
	autopsy=no guest_reap good stream 10 >"$out.guest" || true
	cat "$out.wire" "$out.guest" "$out.wire.err"
	stream='{"to_guest":{"sent":0,"received":0,"lost":null},"from_guest":{"sent":0,"received":0,"lost":null}}'
}
good_again() {
	local out=/run/lab/good.stream
	broke=$((broke + 1))
	diag "the emulated guest beside it broke down; started again"
	guest_autopsy good
	kill -KILL "$(<"$out.wire.pid")" || true
	good_stop
	wait "$(<"$out.wire.pid")" || true
	good_comes || bail "the guest beside it does not come again"
}

# client ARG...: lib/hostile on the first processor, yielding to what serves the guest beside it
client() { (ulimit -n 4096 && exec nice -n 10 taskset -c 0 /usr/bin/python3 -ISE "$lab_lib/hostile" "$@" 2>>"$lab_log/hostile.err" 3>&-); }

# hostile PART ARG... -- CLASS...
hostile() {
	local how=() part=$1 class try line verdict n missed more desc why took here stalled
	while [[ $1 != -- ]]; do how+=("$1"); shift; done
	shift
	for class; do
		for try in 1 2 3 4 5 6; do
			stream_start good 10.9.0.11 "$stream_rate" || true
			line=$(client "${how[@]}" "$class" | tail -n 1)
			[[ -n $line ]] || line="not ok	0	0	0	$part $class	no report: see hostile.err	-"
			stalled=no
			if good_answers; then
				stream_ends && break
				if good_answers; then stalled=yes; break; fi
			fi
			[[ $try -lt 6 ]] || bail "the guest beside it breaks down each time"
			good_again
		done
		[[ $stalled == no ]] || stream_stalled
		IFS=$'\t' read -r verdict n missed more desc why took <<<"$line"
		# an end that never heard how much the other has sent has lost what it did not get
		here=$(jq '(.to_guest.lost // (.from_guest.sent - .to_guest.received)) + (.from_guest.lost // (.to_guest.sent - .from_guest.received))' <<<"$stream")
		inputs=$((inputs + n)) unnoticed=$((unnoticed + missed)) fds=$((fds + more)) lost=$((lost + here))
		packets=$((packets + $(jq '.to_guest.sent + .from_guest.sent' <<<"$stream")))
		echo "$class: $took"
		[[ $here -eq 0 ]] || verdict="not ok" why+="; the guest beside it lost $here packets"
		[[ $stalled == no ]] || verdict="not ok" why+="; the path of the guest beside it stalled"
		if [[ $verdict == ok ]]; then ok "$desc: $n"; else not_ok "$desc: $n" "$why"; fi
	done
}
# classes PART: those asked for, or all
classes() { if [[ $1 == *:* ]]; then tr , ' ' <<<"${1#*:}"; else client classes "$1"; fi; }

# A client that has gone and keeps the device's descriptor: that is said, holds up nobody else, and ends with it.
held() {
	local from holder
	exec {from}< <(client hold "$1")
	read -r -t 20 _ <&"$from"
	holder=$(pgrep -f "lib/hostile hold")
	check "detach while a dead client's process has the device's descriptor: refused" gw_error 5 'vfio\.group-in-use' detach bad
	check "others are answered meanwhile" timeout 5 gangway status
	kill "$holder"
	exec {from}<&-
	check "the hostile lease is detached once that has ended" gw detach bad
}

wire_up
stream_rate=50 # a guest breaks down more often the more interrupts it gets
gangwayd_start
taskset -pc 0 "$gangwayd_pid" >/dev/null
check "pf set: 3 VFs" gw pf set "$pf" vfs 3
pf_ready
check "the guest beside it has a VF by vfio-user, and traffic" good_comes
host_snapshot /run/lab/before

for part in "${parts[@]}"; do
	read -ra these <<<"$(classes "$part")"
	part=${part%%:*}
	case $part in
	vfio)
		gw guest add bad --qmp /run/lab/bad-qmp
		socket=$(gw_field .lease.socket attach bad "$pf/vf0" --standby none --via vfio-user --prepare)
		hostile vfio "$socket" bad -- "${these[@]}"
		held "$socket"
		gw guest remove bad
		;;
	qmp) hostile qmp /run/lab/fakes "$pf/vf0" -- "${these[@]}" ;;
	control) hostile control -- "${these[@]}" ;;
	esac
	check "$part: the host is unchanged" host_diff /run/lab/before
done
check "the guest beside it still has its VF" ping_guest 10.9.0.11
check "the IOMMU reported no fault" test "$(dmar_faults)" -eq 0
check "the guest shuts down" guest_poweroff good
check "its lease ends by itself" wait_until 20 no_lease good
guest_stop good
[[ $broke -eq 0 ]] || diag "the emulation broke down $broke times"
figure "hostile: $inputs inputs, $unnoticed survived unnoticed, $fds fds leaked, well-behaved guest lost $lost of $packets packets"
