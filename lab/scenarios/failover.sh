# shellcheck shell=bash
# about: a guest moves between its VF and its emulated leg under traffic, again and again; how long it is dark each time, and with QEMU alone
# needs: gangway
# limit: 1200
# Arguments: the number of rounds (10), packets a second in each direction (1000)
. /share/lab/lib/all.sh
rounds=${1:-10} rate=${2:-1000} plain_rounds=3
mac=52:54:00:aa:00:01 addr=10.9.0.11 other_addr=10.9.0.2 second_addr=10.9.0.12

median() { printf '%s\n' "$@" | sort -n | sed -n "$((($# + 1) / 2))p"; }
worst() { printf '%s\n' "$@" | sort -n | tail -n 1; }

# A VF of the same PF with the host's own driver, in a network namespace: what the NIC switches itself, and the wire never sees.
other() { ip netns exec other "$@"; }
other_up() {
	local name; name=$(vf_name 2) # the last one: its name on the host must not be free for another that comes back
	ip netns add other
	ip link set "$name" netns other name other0
	other ip address add "$other_addr/24" dev other0
	other ip link set other0 up
	wait_until 10 other grep -qx 1 /sys/class/net/other0/carrier
}

# The guest is to be found by unicast: an ARP request is heard everywhere and proves nothing. So all know its MAC beforehand.
pings_of() { sed -n 's/.* \([0-9]*\) \(packets \)*received.*/\1/p'; }
# reached: from the wire, from another VF of the PF, from another guest
reached() {
	local from_wire from_other from_second
	from_wire=$(wire ping -q -c 10 -i 0.02 -W 1 "$addr" | pings_of)
	from_other=$(other ping -q -c 10 -i 0.02 -W 1 "$addr" | pings_of)
	from_second=$(guest_run vm2 "ping -q -c 10 -i 0.05 -W 1 $addr" | pings_of)
	echo "of 10 pings answered: wire $from_wire, another VF $from_other, another guest $from_second"
	[[ $from_wire -ge 9 && $from_other -ge 9 && $from_second -ge 9 ]]
}

wire_up
gangwayd_start
check "pf set: 3 VFs" gw pf set "$pf" vfs 3
pf_ready
check "a VF of the host's own" other_up
host_snapshot /run/lab/before
guest_start vm1
check "guest add" gw guest add vm1 --qmp "$(guest_qmp_path vm1)"
check "attach with an emulated leg" gw attach vm1 "$pf/vf0" --via vfio-pci --standby macvtap --mac "$mac" --timing
pair_up vm1 "$addr"

# connections that last through all of it
wire socat -u TCP-LISTEN:9100 OPEN:/run/lab/idle,creat & # the guest says one word at the end
check "an idle connection" guest_run vm1 "mkfifo /run/idle; { sleep 10000 >/run/idle & nc $wire_addr 9100 </run/idle; } >/dev/null 2>&1 &"
guest_spawn vm1 tcp "iperf3 -c $wire_addr -p 5202 -b 64K -l 128 -t 3600 -J"

out=() back=() pause=()
# ms without a packet that is new: late ones are not lost
stream_pause() { jq -r '[.to_guest.longest_gap_ms, .from_guest.longest_gap_ms] | max | round' <<<"$stream"; }
for ((i = 1; i <= rounds; i++)); do
	stream_start vm1 "$addr" "$rate"
	check "$i: to emulated" gw switch vm1 emulated --wait 60
	check "$i: it is there" leg_is vm1 emulated
	check "$i: ping on the emulated leg" ping_guest "$addr"
	stream_stop vm1
	out+=("$(stream_dark "$rate")") pause+=("$(stream_pause)")
	stream_start vm1 "$addr" "$rate"
	check "$i: back to the VF" gw switch vm1 passthrough --wait 60
	check "$i: it is there" leg_is vm1 passthrough
	check "$i: ping on the VF" ping_guest "$addr"
	stream_stop vm1
	back+=("$(stream_dark "$rate")")
done

# How long it is on its emulated leg beyond what it takes the guest to have a VF with a link: until the last frame that it sends there. Under traffic, as
# most guests are. That gangway calls it passthrough comes later, when it is sure of it; both legs carry meanwhile.
since() { awk -v a="$1" -v b="$EPOCHREALTIME" 'BEGIN { printf "%d", (b - a) * 1000 }'; }
sent_there() { cat /sys/class/net/gwt0/statistics/tx_packets; }
# the time of its last frame there, until $order has ended
last_there() {
	local now last; last=$(sent_there)
	while kill -0 "$order" 2>/dev/null; do
		now=$(sent_there)
		[[ $now == "$last" ]] || { last=$now; echo "$EPOCHREALTIME" >/run/lab/last; }
		sleep 0.05 # there is no event for a counter
	done
}
has_link='until for c in /sys/bus/pci/drivers/igbvf/*/net/*/carrier; do read -r up <"$c"; done 2>/dev/null && [ "$up" = 1 ]; do usleep 50000; done'
beyond=() word=()
for ((i = 1; i <= (rounds + 2) / 3; i++)); do
	stream_start vm1 "$addr"
	check "beyond, $i: to emulated" gw switch vm1 emulated --wait 60
	began=$EPOCHREALTIME
	gw switch vm1 passthrough --wait 60 >/dev/null &
	order=$!
	last_there &
	watch=$!
	check "beyond, $i: the guest's VF has a link" guest_run vm1 "$has_link" 60
	link=$EPOCHREALTIME
	check "beyond, $i: back to the VF" wait "$order"
	word+=("$(since "$link")")
	wait "$watch"
	beyond+=("$(awk -v a="$link" -v b="$(cat /run/lab/last)" 'BEGIN { printf "%d", (b - a) * 1000 }')")
	stream_stop vm1
	diag "beyond, $i: link after $(awk -v a="$began" -v b="$link" 'BEGIN { printf "%d", (b - a) * 1000 }') ms, last frame by the emulated leg ${beyond[-1]} ms later, called passthrough ${word[-1]} ms later"
done

# who reaches it, on either leg
guest_start vm2
check "guest add" gw guest add vm2 --qmp "$(guest_qmp_path vm2)"
mark=$(guest_mark vm2)
check "another guest with a VF" gw attach vm2 "$pf/vf1" --via vfio-pci --standby none
second=$(guest_vf_wait vm2 "$mark")
check "it has an address and a carrier" guest_address vm2 "$second" "$second_addr/24"
wire ip neigh replace "$addr" lladdr "$mac" nud permanent dev wire0
other ip neigh replace "$addr" lladdr "$mac" nud permanent dev other0
guest_run vm2 "arp -i $second -s $addr $mac"
check "it is reached on the VF" reached

check "to emulated" gw switch vm1 emulated --wait 60
check "it is reached on the emulated leg" reached
check "back to the VF" gw switch vm1 passthrough --wait 60
check "it is reached on the VF" reached
check "the iperf3 connection is still open" guest_run vm1 'pidof iperf3'
guest_run vm1 'killall -INT iperf3; echo alive >/run/idle'
check "the idle connection brings a word" wait_until 10 grep -qx alive /run/lab/idle
check "detach" gw detach vm1
guest_stop vm1
check "guest remove" gw guest remove vm1
check "the other guest's" gw detach vm2
guest_stop vm2
check "guest remove" gw guest remove vm2
check "the host is unchanged" host_diff /run/lab/before

# QEMU alone, as it is set up by hand: a tap in a bridge with the PF, the guest's MAC on the VF. gangwayd has no part in it.
ip link add br0 type bridge
ip link set "$pf" master br0
ip link set br0 up
GUEST_STANDBY=1 GUEST_MAC=$mac guest_start plain
ip link set tap-plain master br0 up
ip link set "$pf" vf 0 mac "$mac"
bind_vfio "$(vf_bdf 0)"
plain_add() {
	local mark; mark=$(guest_mark plain)
	guest_qmp plain device_add driver=vfio-pci host="$(vf_bdf 0)" id=vf bus=rp0 failover_pair_id=net0
	guest_wait plain GUEST_NET '{"action":"add","driver":"igbvf"}' 30 "$mark" >/dev/null
}
plain_del() {
	local mark; mark=$(guest_mark plain)
	guest_qmp plain device_del id=vf
	guest_wait plain DEVICE_DELETED '{"device":"vf"}' 30 "$mark" >/dev/null
}
check "QEMU alone: the VF is plugged" plain_add
check "QEMU alone: the guest has paired its two legs" wait_until 20 guest_pair plain
check "QEMU alone: its interface has an address and a carrier" guest_address plain "$(guest_pair plain)" "$addr/24"
check "QEMU alone: ping on the VF" wait_until 10 ping_guest "$addr"
plain=() plain_back=()
for ((i = 1; i <= plain_rounds; i++)); do
	stream_start plain "$addr" "$rate"
	check "QEMU alone, $i: unplug" plain_del
	began=$EPOCHREALTIME
	wire ping -q -c 20 -i 0.1 -W 1 "$addr" >/dev/null || true # the guest is on its emulated leg for so long
	check "QEMU alone, $i: plug" plain_add
	spent=$(awk -v a="$began" -v b="$EPOCHREALTIME" 'BEGIN { printf "%d", (b - a) * 1000 }')
	check "QEMU alone, $i: ping on the VF" wait_until 10 ping_guest "$addr"
	stream_stop plain
	plain+=("$(stream_dark "$rate")") plain_back+=("$spent")
done
guest_stop plain
bind_back "$(vf_bdf 0)" igbvf
diag "dark milliseconds to emulated: ${out[*]}; back: ${back[*]}; longest time without a packet, to emulated: ${pause[*]}"
diag "QEMU alone: dark for ${plain[*]} ms of ${plain_back[*]} ms without the VF"
figure "failover: $rounds rounds, $rate packets/s: dark ms to emulated median $(median "${out[@]}") worst $(worst "${out[@]}") (longest time without a packet median $(median "${pause[@]}") worst $(worst "${pause[@]}")), back median $(median "${back[@]}") worst $(worst "${back[@]}") (100);" \
	"last frame by the emulated leg ${beyond[*]} ms after the guest's VF has a link (1000), called passthrough after ${word[*]};" \
	"QEMU alone median $(median "${plain[@]}") worst $(worst "${plain[@]}")"
