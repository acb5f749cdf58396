# shellcheck shell=bash
# about: a guest that was started with a standby NIC of its own, a tap in the PF's bridge: gangway uses it, and steers to it
# needs: gangway
# limit: 400
. /share/lab/lib/all.sh
mac=52:54:00:aa:00:01 addr=10.9.0.11 other_addr=10.9.0.2

# A VF of the same PF with the host's own driver, in a network namespace: what the NIC switches itself, and the wire never sees.
other() { ip netns exec other "$@"; }
other_up() {
	local name; name=$(vf_name 1)
	ip netns add other
	ip link set "$name" netns other name other0
	other ip address add "$other_addr/24" dev other0
	other ip link set other0 up
	wait_until 10 other grep -qx 1 /sys/class/net/other0/carrier
}
# As an operator does it: the PF becomes a port, and the host's address moves to the bridge.
bridge_up() {
	ip link add br0 type bridge forward_delay 0 && ip link set "$pf" master br0 && ip link set br0 up &&
		ip address add 10.9.0.3/24 dev br0 && pf_ready
}
bridge_forget() { echo 1 >/sys/class/net/br0/bridge/flush; } # what it has learnt
# by unicast: an ARP request is heard everywhere and proves nothing
pings_of() { sed -n 's/.* \([0-9]*\) \(packets \)*received.*/\1/p'; }
reached() {
	local from_wire from_other from_host
	from_wire=$(wire ping -q -c 10 -i 0.02 -W 1 "$addr" | pings_of)
	from_other=$(other ping -q -c 10 -i 0.02 -W 1 "$addr" | pings_of)
	from_host=$(ping -q -c 10 -i 0.02 -W 1 "$addr" | pings_of)
	echo "of 10 pings answered: wire $from_wire, another VF $from_other, the bridge $from_host"
	[[ $from_wire -ge 9 && $from_other -ge 9 && $from_host -ge 9 ]]
}
standby_is() { [[ $(gw status -j | jq -r '.leases[0].standby | "\(.kind) \(.interface) \(.id)"') == "$1" ]]; }

wire_up
gangwayd_start
check "pf set: 2 VFs" gw pf set "$pf" vfs 2
pf_ready
check "a VF of the host's own" other_up
check "the PF in a bridge" bridge_up
GUEST_STANDBY=1 GUEST_MAC=$mac GUEST_TAP=vnet0 guest_start vm1
ip link set vnet0 address fe:54:00:aa:00:01 # as libvirt does: a bridge takes its lowest port's MAC, and only the PF's is in the NIC's filter
ip link set vnet0 master br0 up
check "the guest has an address on its own NIC" guest_address vm1 "$(guest_pair vm1)" "$addr/24"
wire ip neigh replace "$addr" lladdr "$mac" nud permanent dev wire0
other ip neigh replace "$addr" lladdr "$mac" nud permanent dev other0
ip neigh replace "$addr" lladdr "$mac" nud permanent dev br0
# Of its own accord the NIC gives a bridge nothing that comes from its VFs; and QEMU's igb gives the guest's broadcasts back to the PF, from which the
# bridge learns that the guest is out there.
check "its MAC in the PF's filter" bridge fdb add "$mac" dev "$pf" self
check "its MAC leads to its tap" bridge fdb replace "$mac" dev vnet0 master static sticky
check "it is reached" reached
bridge_forget
host_snapshot /run/lab/before

check "guest add" gw guest add vm1 --qmp "$(guest_qmp_path vm1)"
check "another standby is refused" gw_error 5 attach.own-standby attach vm1 "$pf" --via vfio-pci --standby bridge:br0 --mac "$mac"
check "another MAC is refused" gw_error 3 attach.no-own-standby attach vm1 "$pf" --via vfio-pci --standby own --mac 52:54:00:aa:00:77
check "the host is unchanged" host_diff /run/lab/before
check "attach" gw attach vm1 "$pf/vf0" --via vfio-pci --mac "$mac" --timing
check "its own is the standby" standby_is "own vnet0 net0"
check "it comes to rest on its VF" wait_until 60 leg_is vm1 passthrough
check "the guest has paired its two legs" wait_until 20 guest_pair vm1
check "it is reached on the VF" reached

out=() back=()
for i in 1 2 3; do
	stream_start vm1 "$addr"
	check "$i: to emulated" gw switch vm1 emulated --wait 60
	check "$i: ping on its own NIC" ping_guest "$addr"
	stream_stop vm1
	out+=("$(stream_dark "$stream_rate")")
	check "$i: it is reached" reached
	stream_start vm1 "$addr"
	check "$i: back to the VF" gw switch vm1 passthrough --wait 60
	stream_stop vm1
	back+=("$(stream_dark "$stream_rate")")
	check "$i: it is reached on the VF" reached
done

gangwayd_kill
gangwayd_start
check "after a kill -9 its own is the standby" wait_until 10 standby_is "own vnet0 net0"
check "it is on its VF" wait_until 30 leg_is vm1 passthrough
check "it is reached on the VF" reached
check "detach" gw detach vm1
check "the NIC is still the guest's" guest_qmp vm1 qom-get path=/machine/peripheral/net0 property=mac
check "it is reached" reached
check "guest remove" gw guest remove vm1
bridge_forget
check "the host is unchanged" host_diff /run/lab/before
guest_stop vm1
figure "own-standby: dark ms to its own NIC ${out[*]}, back ${back[*]} (100)"
