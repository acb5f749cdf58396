# shellcheck shell=bash
# about: a guest migrates to a host whose NIC is of another make: what its VFs are good for there
# needs: gangway
# hosts: 2
# host: virtio-pf
# limit: 400
# Arguments: packets a second in each direction (200)
#
# The other NIC is QEMU's virtio-net with SR-IOV. Its PF's driver sets no MACs of VFs, so none can be the other half of a pair; and a guest's
# net_failover takes no primary whose interface does not hang on a PCI device, as those of virtio NICs do not. So the guest comes to an emulated
# leg on that NIC, and stays there. As a NIC of its own, without a pair, such a VF is taken.
. /share/lab/lib/all.sh
rate=${1:-200}
mac=52:54:00:aa:00:01 addr=10.9.0.11 addr2=10.9.0.12
export GUEST_MEM=256M # each MiB of it costs the emulated hosts time

other() { basename "$(dirname "$(grep -lx 52:54:00:00:00:40 /sys/class/net/*/address)")"; }
ready() { gangwayd_start && ip link set "$1" up && gw pf set "$1" vfs 2 && wait_until 20 grep -qx 1 "/sys/class/net/$1/carrier"; }
comes() { gw guest add vm1 --qmp "$(guest_qmp_path vm1)" --incoming "$(other)" --mac "$mac"; }
has_no_vf() { [[ $(lease_field vm1 '| "\(.leg) \(.reason) \(.vf)"') == "emulated no-vf null" ]]; }
second() { gw attach vm1 "$(other)" --nic second --via vfio-pci --standby none --wait 20; }
on_b eval "mac=$mac GUEST_MEM=$GUEST_MEM; $(declare -f other ready comes has_no_vf second)"

wire_up
cable_up
check "a: gangwayd, 2 VFs" ready "$pf"
check "b: gangwayd, 2 VFs of the other NIC" on_b eval 'ready "$(other)"'
host_snapshot /run/lab/before
on_b host_snapshot /run/lab/before

guest_start vm1
check "a: guest add" gw guest add vm1 --qmp "$(guest_qmp_path vm1)"
check "a: attach with an emulated leg" gw attach vm1 "$pf" --standby macvtap --mac "$mac"
pair_up vm1 "$addr"
check "ping on a's VF" ping_guest "$addr"

check "b: its QEMU waits for it" on_b guest_incoming vm1
check "b: guest add --incoming, on the other NIC" on_b comes
stream_start vm1 "$addr" "$rate"
guest_spawn vm1 tcp "iperf3 -c $wire_addr -p 5202 -b 64K -l 128 -t 30 -J"
check "ready to migrate" migrate_ready vm1
check "migrate" migrate_start vm1
check "the migration completes, and the guest runs on b" migrate_end vm1
downtime=$(migrate_told vm1 .downtime)
check "b: it stays on its emulated leg" on_b wait_until 20 has_no_vf
check "b: status says why" test "$(on_b lease_field vm1 .switch.error.code)" = policy.no-mac
check "ping on b's emulated leg" ping_guest "$addr"
check "the TCP connection is still open" on_b guest_run vm1 'pidof iperf3'
stream_stop vm1 on_b
dark=$(stream_dark "$rate")
mbit=$(on_b guest_reap vm1 tcp 90 | jq -er 'if .error then error(.error) else .end.sum_received.bits_per_second / 1e6 * 10 | round / 10 end') || true
check "the TCP connection came through: ${mbit:-no} Mbit/s" test -n "$mbit"

check "b: a VF of the other NIC, as a NIC of its own" on_b second
name=$(on_b guest_run vm1 'basename $(dirname $(grep -l "^52:54:00:00:00:4" /sys/class/net/*/address))')
check "b: the guest drives it: ${name:-no interface}" test -n "$name"
check "b: it has an address and a carrier" on_b guest_address vm1 "$name" "$addr2/24"
check "ping on it" ping_guest "$addr2"
check "b: detach it" on_b gw detach vm1 second

guest_stop vm1
check "a: the lease ends with the QEMU that the guest has left" wait_until 20 no_lease vm1
check "a: guest remove" gw guest remove vm1
check "a: the host is unchanged" host_diff /run/lab/before
check "b: detach" on_b gw detach vm1
on_b guest_stop vm1
check "b: guest remove" on_b gw guest remove vm1
check "b: the host is unchanged" on_b host_diff /run/lab/before
figure "migrate-other-nic: dark $dark ms, downtime $downtime ms; there by its emulated leg"
