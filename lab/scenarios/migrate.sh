# shellcheck shell=bash
# about: a guest with a VF migrates from one host to the other under traffic, and has a VF there; how long it is dark
# needs: gangway
# hosts: 2
# limit: 400
# Arguments: packets a second in each direction (200), how (precopy, begun by QMP; or postcopy, by gangway migrate),
# the way (vfio-pci, vfio-user)
. /share/lab/lib/all.sh
rate=${1:-200} how=${2:-precopy} via=${3:-vfio-pci}
mac=52:54:00:aa:00:01 addr=10.9.0.11
export GUEST_MEM=256M # each MiB of it costs the emulated hosts time

ready() { gangwayd_start && gw pf set "$pf" vfs 2 && pf_ready; }
known() { gw guest add vm1 --qmp "$(guest_qmp_path vm1)" "$@"; }
attach() { gw attach vm1 "$pf" --via "$via" --standby macvtap --mac "$mac" --timing; }
moves() { msix_count "$(lease_field vm1 .vf_bdf)"; }
on_b eval "GUEST_MEM=$GUEST_MEM; $(declare -f ready known moves)"

wire_up
cable_up
check "a: gangwayd, 2 VFs" ready
check "b: gangwayd, 2 VFs" on_b ready
host_snapshot /run/lab/before
on_b host_snapshot /run/lab/before

guest_start vm1
check "a: guest add" known
check "a: attach with an emulated leg" attach
pair_up vm1 "$addr"
check "ping on a's VF" ping_guest "$addr"

check "b: its QEMU waits for it" on_b guest_incoming vm1
check "b: guest add --incoming" on_b known --incoming "$pf" --via "$via" --mac "$mac"
# a silent guest: whoever had announced it from b would have the pings there
check "ping on a's VF, with b prepared" ping_guest "$addr"
check "b: it is to be emulated first, for the migration" test "$(on_b lease_field vm1 '| "\(.state) \(.leg) \(.reason)"')" = "attached emulated migration"

stream_start vm1 "$addr" "$rate"
guest_spawn vm1 tcp "iperf3 -c $wire_addr -p 5202 -b 64K -l 128 -t 60 -J"
if [[ $how == postcopy ]]; then
	on_b eval 'gangway monitor -j >/run/lab/monitor 2>&1 &'
	on_b guest_qmp vm1 migrate-set-capabilities '{"capabilities":[{"capability":"postcopy-ram","state":true}]}' >/dev/null
	# what it writes all the time is never copied before it goes
	guest_run vm1 'while :; do yes | head -c 33554432 >/run/written; done >/dev/null 2>&1 &'
fi
check "ready to migrate" migrate_ready vm1
case $how in
precopy)
	check "migrate" migrate_start vm1
	check "the migration completes, and the guest runs on b" migrate_end vm1
	;;
postcopy)
	check "gangway migrate" gw migrate vm1 "tcp:$lab_b:4444" --postcopy --bandwidth 8
	check "the guest went before its memory had" grep -q '"status": "postcopy-active"' "$lab_log/vm1.events"
	check "b: it had no VF until the last page was there" on_b grep -q '"reason":"postcopy"' /run/lab/monitor
	on_b pkill -f 'gangway monitor'
	;;
esac
downtime=$(migrate_told vm1 .downtime) total=$(migrate_told vm1 '."total-time"')
check "b: it comes to rest on the VF" on_b wait_until 30 leg_is vm1 passthrough
before=$(on_b moves)
check "ping on b's VF" ping_guest "$addr"
after=$(on_b moves)
check "b: the VF's interrupts tell of it ($before, then $after)" test "$after" -gt "$before"
check "the TCP connection is still open" on_b guest_run vm1 'pidof iperf3'
stream_stop vm1 on_b
dark=$(stream_dark "$rate")
mbit=$(on_b guest_reap vm1 tcp 90 | jq -er 'if .error then error(.error) else .end.sum_received.bits_per_second / 1e6 * 10 | round / 10 end') || true
check "the TCP connection came through: ${mbit:-no} Mbit/s" test -n "$mbit"

guest_stop vm1
check "a: the lease ends with the QEMU that the guest has left" wait_until 20 no_lease vm1
check "a: guest remove" gw guest remove vm1
check "a: the host is unchanged" host_diff /run/lab/before
check "b: ping without a's QEMU" ping_guest "$addr"
[[ $via == vfio-user ]] || check "b: detach" on_b gw detach vm1 # a VMM that cannot unplug it: the lease ends with the guest
on_b guest_stop vm1
check "b: no lease is left" on_b wait_until 20 no_lease vm1
check "b: guest remove" on_b gw guest remove vm1
check "b: the host is unchanged" on_b host_diff /run/lab/before
figure "migrate ($how, $via): dark $dark ms, downtime $downtime ms, total $total ms"
