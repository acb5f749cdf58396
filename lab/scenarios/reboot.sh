# shellcheck shell=bash
# about: a guest with a VF reboots: on the VF, on its emulated leg for the operator, and while a migration asks it for the VF
# needs: gangway
# limit: 600
. /share/lab/lib/all.sh
mac=52:54:00:aa:00:01 addr=10.9.0.11 sink=/run/lab/sink
export GUEST_MEM=256M # each MiB of it costs the emulated host time

migration_is() { [[ $(guest_qmp vm1 query-migrate | jq -r '.status // "none"') =~ ^($1)$ ]]; }
has_come() { guest_wait vm1 MIGRATION '{"status":"'"$1"'"}' 60 "$mark"; }
is_up() { guest_wait vm1 GUEST_UP '' 90 "$mark"; }
moves() { msix_count "$(lease_field vm1 .vf_bdf)"; }
# The guest forgets its address.
has_address() { wait_until 20 guest_pair vm1 && guest_address vm1 "$(guest_pair vm1)" "$addr/24"; }
reboot() {
	mark=$(guest_mark vm1)
	check "$what: it reboots" guest_qmp vm1 system_reset
	check "$what: it is up again" is_up
}
on_vf() {
	check "$what: it is on its VF" wait_until 90 leg_is vm1 passthrough
	check "$what: it has an address" has_address
	before=$(moves)
	check "$what: ping on the VF" ping_guest "$addr"
	check "$what: the VF's interrupts tell of it" test "$(moves)" -gt "$before"
}

wire_up
vm1_begins
guest_qmp vm1 set-action reboot=reset >/dev/null # else QEMU ends, see guest_args

what="on the VF"
reboot
on_vf

# QEMU plugs the VF by itself as its guest's driver starts, where it knows one: the operator's choice holds all the same.
what="emulated for the operator"
check "$what: it is" gw switch vm1 emulated --wait 60
reboot
check "$what: it has an address" has_address
check "$what: it is on its emulated leg" wait_until 60 leg_is vm1 emulated
check "$what: as the operator wishes" test "$(lease_field vm1 .reason)" = operator
check "$what: ping on the emulated leg" ping_guest "$addr"
check "$what: back to passthrough" gw switch vm1 passthrough --wait 60
on_vf

# A guest that stands still does not answer the VMM that asks it; a reset answers for it.
what="asked for its VF"
rm -f "$sink"
socat -u "UNIX-LISTEN:$sink" OPEN:/dev/null &
sink_pid=$!
wait_until 5 test -S "$sink"
mark=$(guest_mark vm1)
guest_qmp vm1 stop >/dev/null
gangway migrate vm1 "unix:$sink" --bandwidth 1 --downtime 1 >"$lab_log/migrate" 2>&1 &
migrate_pid=$!
check "$what: the VMM waits" has_come wait-unplug
guest_qmp vm1 system_reset >/dev/null
guest_qmp vm1 cont >/dev/null
check "$what: it is up again" is_up
check "$what: the migration goes on" has_come active
check "$what: it is on its emulated leg" wait_until 60 leg_is vm1 emulated
check "$what: it has an address" has_address
check "$what: ping on the emulated leg" ping_guest "$addr"
check "$what: the migration is cancelled" gw migrate vm1 --abort
check "$what: it is over" wait_until 60 migration_is cancelled
wait "$migrate_pid" || true
kill "$sink_pid" 2>/dev/null || true
on_vf

check "detach" gw detach vm1
guest_stop vm1
check "guest remove" gw guest remove vm1
check "the host is unchanged" host_diff /run/lab/before
