# shellcheck shell=bash
# about: a guest moves between its VF and its emulated leg under traffic, again and again; how long it is dark each time
# needs: gangway
# limit: 900
# Arguments: the number of rounds (10), packets a second in each direction (500)
. /share/lab/lib/all.sh
rounds=${1:-10} rate=${2:-500}
mac=52:54:00:aa:00:01 addr=10.9.0.11

# The interface of the guest that net_failover made: the master of the two legs.
failover_interface() { guest_run "$1" 'for m in /sys/class/net/*/master; do [ -e "$m" ] && basename "$(readlink "$m")" && exit 0; done; exit 1'; }
is_on() { [[ $(lease_field vm1 .leg) == "$1" && $(lease_field vm1 .switch.state) == "$1" ]]; }
# dark: milliseconds without traffic, of the direction that lost more packets
dark() { jq -r --argjson rate "$rate" '[.to_guest.lost, .from_guest.lost] | map((. // 1e9) * 1000 / $rate | round) | max' <<<"$stream"; }
median() { printf '%s\n' "$@" | sort -n | sed -n "$((($# + 1) / 2))p"; }
worst() { printf '%s\n' "$@" | sort -n | tail -n 1; }

wire_up
gangwayd_start
check "pf set: 2 VFs" gw pf set "$pf" vfs 2
pf_ready
guest_start vm1
check "guest add" gw guest add vm1 --qmp "$(guest_qmp_path vm1)"
host_snapshot /run/lab/before
mark=$(guest_mark vm1)
check "attach with an emulated leg" gw attach vm1 "$pf" --via vfio-pci --standby macvtap --mac "$mac" --timing
check "it comes to rest on the VF" wait_until 10 is_on passthrough
check "the guest has paired its two legs" wait_until 20 failover_interface vm1
interface=$(failover_interface vm1)
check "its interface has an address and a carrier" guest_address vm1 "$interface" "$addr/24"
check "ping on the VF" ping_guest "$addr"
out=() back=()
for ((i = 1; i <= rounds; i++)); do
	stream_start vm1 "$addr" "$rate"
	check "$i: to emulated" gw switch vm1 emulated --wait 60
	check "$i: it is there" is_on emulated
	check "$i: ping on the emulated leg" ping_guest "$addr"
	stream_stop vm1
	out+=("$(dark)")
	stream_start vm1 "$addr" "$rate"
	check "$i: back to the VF" gw switch vm1 passthrough --wait 60
	check "$i: it is there" is_on passthrough
	check "$i: ping on the VF" ping_guest "$addr"
	stream_stop vm1
	back+=("$(dark)")
done
check "detach" gw detach vm1
check "the host is unchanged" host_diff /run/lab/before
diag "dark milliseconds to emulated: ${out[*]}; back: ${back[*]}"
figure "failover: $rounds rounds: dark ms to emulated median $(median "${out[@]}") worst $(worst "${out[@]}"), back median $(median "${back[@]}") worst $(worst "${back[@]}")"
