# shellcheck shell=bash
# about: attach and detach both ways, hot and cold, two guests at once, and a gangwayd that is killed meanwhile
# needs: gangway
# limit: 900
# Arguments: the number of rounds (3)
. /share/lab/lib/all.sh
rounds=${1:-3}
lost=0 # packets of streams that had to lose none

# traffic NAME ADDR BDF: bring the guest's new interface up, ping, iperf3, and the VF's interrupts must move
traffic() {
	local name=$1 addr=$2 bdf=$3 interface before mbit
	interface=$(guest_vf_wait "$name" "$mark") || return 1
	guest_address "$name" "$interface" "$addr/24" || return 1
	before=$(msix_count "$bdf")
	ping_guest "$addr" || return 1
	mbit=$(iperf "$name") || return 1
	diag "$name: $mbit Mbit/s out, vfio-msix of $bdf $before, then $(msix_count "$bdf")"
	[[ $(msix_count "$bdf") -gt $before ]]
}
# survives NAME ADDR: gangwayd is killed and started again under traffic
survives() {
	local name=$1 addr=$2 before
	before=$(leases)
	stream_start "$name" "$addr"
	gangwayd_kill
	check "$name: traffic goes on without gangwayd" ping_guest "$addr"
	check "gangwayd starts again" gangwayd_start
	check "$name: the lease is adopted" test "$(leases)/$(lease_field "$name" .state)" = "$before/attached"
	check "$name: and confirmed by its VMM" wait_until 5 eval '[[ $(lease_field "$name" .confirmed) == true ]]'
	stream_stop "$name"
	check "$name: the stream lost nothing meanwhile" test "$(stream_lost)" = 0
	lost=$((lost + $(jq '[.to_guest.lost, .from_guest.lost] | map(. // 1) | add' <<<"$stream")))
}

wire_up
gangwayd_start
check "pf set: 3 VFs" gw pf set "$pf" vfs 3
pf_ready
host_snapshot /run/lab/empty

# vfio-pci
guest_start vm1
check "guest add" gw guest add vm1 --qmp "$(guest_qmp_path vm1)"
host_snapshot /run/lab/one
check "attach --dry-run" gw attach vm1 "$pf" --standby none --via vfio-pci --dry-run
check "--dry-run changed nothing" host_diff /run/lab/one
for ((i = 1; i <= rounds; i++)); do
	mark=$(guest_mark vm1)
	check "vfio-pci $i: attach" gw attach vm1 "$pf" --standby none --via vfio-pci --mac 52:54:00:aa:00:01 --timing
	check "vfio-pci $i: traffic through the VF" traffic vm1 10.9.0.11 "$(lease_field vm1 .vf_bdf)"
	[[ $i -gt 1 ]] || survives vm1 10.9.0.11
	check "vfio-pci $i: detach" gw detach vm1
	check "vfio-pci $i: no lease is left" no_lease vm1
	check "vfio-pci $i: the host is unchanged" host_diff /run/lab/one
done

# a second guest beside the first
mark=$(guest_mark vm1)
check "vm1: attach" gw attach vm1 "$pf" --standby none --via vfio-pci
check "vm1: traffic" traffic vm1 10.9.0.11 "$(lease_field vm1 .vf_bdf)"
guest_start vm2
check "guest add vm2" gw guest add vm2 --qmp "$(guest_qmp_path vm2)"
mark=$(guest_mark vm2)
check "vm2: attach beside vm1" gw attach vm2 "$pf" --standby none --via vfio-pci
check "they have different VFs" test "$(lease_field vm1 .vf_bdf)" != "$(lease_field vm2 .vf_bdf)"
stream_start vm1 10.9.0.11
check "vm2: traffic beside a stream of vm1" traffic vm2 10.9.0.12 "$(lease_field vm2 .vf_bdf)"
stream_stop vm1
check "vm1: its stream came through" test "$(jq .to_guest.received <<<"$stream")" -gt 0
check "vm2: detach" gw detach vm2
check "vm1: still has its VF" ping_guest 10.9.0.11
check "vm1: detach" gw detach vm1
guest_stop vm2
gw guest remove vm2
check "the host is unchanged after both" host_diff /run/lab/one
guest_stop vm1
check "guest remove" gw guest remove vm1

# vfio-user: the lease ends with the guest
for ((i = 1; i <= rounds; i++)); do
	guest_start vm1
	gw guest add vm1 --qmp "$(guest_qmp_path vm1)"
	mark=$(guest_mark vm1)
	check "vfio-user $i: attach" gw attach vm1 "$pf" --standby none --via vfio-user --timing
	check "vfio-user $i: traffic through the VF" traffic vm1 10.9.0.11 "$(lease_field vm1 .vf_bdf)"
	check "vfio-user $i: detach is refused" gw_error 5 'vmm\.unplug-unsafe' detach vm1
	check "vfio-user $i: the guest survives that" ping_guest 10.9.0.11
	[[ $i -gt 1 ]] || survives vm1 10.9.0.11
	check "vfio-user $i: the guest shuts down" guest_poweroff vm1
	check "vfio-user $i: the lease ends by itself" wait_until 20 no_lease vm1
	guest_stop vm1
	gw guest remove vm1
	check "vfio-user $i: the host is unchanged" host_diff /run/lab/empty
done

# cold: the VF is there before the guest
for via in vfio-pci vfio-user; do
	check "cold $via: guest add" gw guest add cold --qmp "$(guest_qmp_path cold)"
	args=$(gw attach cold "$pf" --standby none --via "$via" --prepare) || true
	check "cold $via: attach --prepare prints QEMU's arguments" grep -q -e "$via" <<<"$args"
	read -r -d '' -a words <<<"$args" || true
	guest_start cold "${words[@]}"
	interface=$(guest_run cold 'ls /sys/bus/pci/drivers/igbvf/*/net')
	check "cold $via: the guest has the VF" guest_address cold "$interface" 10.9.0.13/24
	check "cold $via: ping" ping_guest 10.9.0.13
	check "cold $via: status says attached" wait_until 10 eval '[[ $(lease_field cold .state) == attached ]]'
	check "cold $via: the guest shuts down" guest_poweroff cold
	check "cold $via: the lease ends or is detached" eval 'wait_until 10 no_lease cold || gw detach cold'
	guest_stop cold
	gw guest remove cold
	check "cold $via: the host is unchanged" host_diff /run/lab/empty
done
check "the IOMMU reported no fault" test "$(dmar_faults)" -eq 0
figure "attach: $rounds rounds each way, $lost packets lost while gangwayd was killed and restarted"
