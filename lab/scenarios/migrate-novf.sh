# shellcheck shell=bash
# about: a guest migrates to a host that has no VF for it: it stays on its emulated leg there, and is given one when one frees
# needs: gangway
# hosts: 2
# limit: 400
# Arguments: packets a second in each direction (200), the way (vfio-pci, vfio-user)
. /share/lab/lib/all.sh
rate=${1:-200} via=${2:-vfio-pci}
mac=52:54:00:aa:00:01 addr=10.9.0.11
export GUEST_MEM=256M # each MiB of it costs the emulated hosts time

ready() { gangwayd_start && gw pf set "$pf" vfs "$1" && pf_ready; }
comes() { gw guest add vm1 --qmp "$(guest_qmp_path vm1)" --incoming "$pf" --via "$via" --mac "$mac"; }
# the one VF is another's, of a guest that has not been started
take_vf() { gw guest add other --qmp /run/lab/other.qmp && gw attach other "$pf" --prepare >/dev/null; }
has_no_vf() { [[ $(lease_field vm1 '| "\(.leg) \(.reason) \(.vf)"') == "emulated no-vf null" ]]; }
moves() { msix_count "$(lease_field vm1 .vf_bdf)"; }
on_b eval "mac=$mac via=$via GUEST_MEM=$GUEST_MEM; $(declare -f ready comes take_vf has_no_vf moves)"

wire_up
cable_up
check "a: gangwayd, a VF" ready 1
check "b: gangwayd, a VF" on_b ready 1
host_snapshot /run/lab/before
on_b host_snapshot /run/lab/before
check "b: another guest has the VF" on_b take_vf

guest_start vm1
check "a: guest add" gw guest add vm1 --qmp "$(guest_qmp_path vm1)"
check "a: attach with an emulated leg" gw attach vm1 "$pf" --via "$via" --standby macvtap --mac "$mac"
pair_up vm1 "$addr"
check "ping on a's VF" ping_guest "$addr"

check "b: guest add --incoming, where nothing waits" on_b gw_error 3 guest.down guest add vm1 --qmp "$(guest_qmp_path vm1)" --incoming "$pf"
check "b: and nothing has been added" on_b gw_error 3 guest.unknown guest show vm1
check "b: its QEMU waits for it" on_b guest_incoming vm1
check "b: guest add --incoming" on_b comes
check "b: it is to be emulated first, for the migration" test "$(on_b lease_field vm1 '| "\(.state) \(.leg) \(.reason) \(.vf)"')" = "attached emulated migration null"
check "ping on a's VF, with b prepared" ping_guest "$addr"

stream_start vm1 "$addr" "$rate"
check "ready to migrate" migrate_ready vm1
check "migrate" migrate_start vm1
check "the migration completes, and the guest runs on b" migrate_end vm1
downtime=$(migrate_told vm1 .downtime)
check "b: there is no VF for it" on_b wait_until 20 has_no_vf
check "b: status says why, and what comes" on_b eval 'gw status vm1 | grep -q "none of its 1 VFs is free"'
check "ping on b's emulated leg" ping_guest "$addr"
check "b: it cannot be switched there" on_b gw_error 5 switch.held switch vm1 passthrough
check "b: the other guest gives its VF up" on_b gw detach other
freed=$EPOCHREALTIME
check "b: it comes to rest on the VF" on_b wait_until 30 leg_is vm1 passthrough
took=$(((${EPOCHREALTIME/./} - ${freed/./}) / 1000))
before=$(on_b moves)
check "ping on b's VF" ping_guest "$addr"
after=$(on_b moves)
check "b: the VF's interrupts tell of it ($before, then $after)" test "$after" -gt "$before"
stream_stop vm1 on_b
dark=$(stream_dark "$rate")

guest_stop vm1
check "a: the lease ends with the QEMU that the guest has left" wait_until 20 no_lease vm1
check "a: guest remove" gw guest remove vm1
check "a: the host is unchanged" host_diff /run/lab/before
[[ $via == vfio-user ]] || check "b: detach" on_b gw detach vm1 # a VMM that cannot unplug it: the lease ends with the guest
on_b guest_stop vm1
check "b: no lease is left" on_b wait_until 20 no_lease vm1
check "b: guest remove" on_b eval 'gw guest remove vm1 && gw guest remove other'
check "b: the host is unchanged" on_b host_diff /run/lab/before
figure "migrate-novf ($via): dark $dark ms in all, downtime $downtime ms; on its VF $took ms after one was free"
