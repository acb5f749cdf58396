# shellcheck shell=bash
# about: migrations that are cancelled, or whose destination dies, at each stage: the VF comes back at the source, with traffic on it
# needs: gangway
# limit: 900
# Arguments: the way (vfio-pci, vfio-user)
. /share/lab/lib/all.sh
via=${1:-vfio-pci}
rate=200 mac=52:54:00:aa:00:01 addr=10.9.0.11 sink=/run/lab/sink
export GUEST_MEM=256M # each MiB of it costs the emulated host time

# What stands for a destination: it takes what comes and says nothing.
sink_start() { rm -f "$sink"; socat -u "UNIX-LISTEN:$sink" OPEN:/dev/null & sink_pid=$!; wait_until 5 test -S "$sink"; }
# Or one that does not even accept: who connects waits.
sink_start_full() {
	rm -f "$sink" "$sink.full"
	/usr/bin/python3 -ISE -c 'if True:
		import signal, socket, sys
		listener, client = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
		listener.bind(sys.argv[1])
		listener.listen(0)
		client.connect(sys.argv[1])  # as many as its queue takes
		open(sys.argv[1] + ".full", "w")
		signal.pause()' "$sink" &
	sink_pid=$!
	wait_until 5 test -e "$sink.full"
}
sink_kill() { kill -KILL "$sink_pid" && { wait "$sink_pid" || true; }; }
sink_stop() { sink_kill 2>/dev/null || true; }

# capability NAME true|false: of the VMM
capability() { guest_qmp vm1 migrate-set-capabilities '{"capabilities":[{"capability":"'"$1"'","state":'"$2"'}]}' >/dev/null; }
migration_is() { [[ $(guest_qmp vm1 query-migrate | jq -r '.status // "none"') =~ ^($1)$ ]]; }
has_come() { guest_wait vm1 MIGRATION '{"status":"'"$1"'"}' "${2:-60}" "$mark"; }
# the milliseconds that the guest stood still since $mark, by its VMM's word
stood() {
	jq -s --argjson mark "$mark" 'map(select(.n > $mark)) | reduce .[] as $e ({at: null, sum: 0};
		if $e.event == "STOP" then .at = $e.t elif $e.event == "RESUME" and .at then {at: null, sum: (.sum + $e.t - .at)} else . end) |
		.sum * 1000 | round' "$lab_log/vm1.events"
}

moves() { msix_count "$(lease_field vm1 .vf_bdf)"; }

end_abort() { gw migrate vm1 --abort; }
end_qmp() { guest_qmp vm1 migrate_cancel; }
end_dies() { sink_kill; }
unheard() { { gwj migrate vm1 --abort || true; } | jq -e '.error.code == "qmp.timeout"'; }
status_after() { [[ $1 == dies ]] && echo failed || echo cancelled; }
# ended: the command in the background has, and says that the migration came to nothing
ended() { local status=0; wait "$migrate_pid" || status=$?; cat "$lab_log/migrate.${what//[ ,]/-}"; [[ $status -ne 0 ]]; }

# stage WHAT: from now on traffic is counted
stage() {
	what=$1
	stream_start vm1 "$addr" "$rate"
	mark=$(guest_mark vm1)
}
# begin ARG...: gangway migrate vm1 to the sink ARG...
begin() {
	gangway migrate vm1 "unix:$sink" "$@" >"$lab_log/migrate.${what//[ ,]/-}" 2>&1 &
	migrate_pid=$!
}
# comes STATUS: the migration gets there, and stays: what holds it is the caller's matter
comes() {
	check "$what: it comes to $1" has_come "$1"
	check "$what: it stays there" migration_is "$1"
}
# The VMM has not got so far as to take the VF from its guest.
still_in() { [[ $(lease_field vm1 '| "\(.leg) \(.switch.step)"') == "passthrough unplug" ]]; }
emulated() {
	check "$what: the guest is on its emulated leg" wait_until 20 leg_is vm1 emulated
	check "$what: for the migration" test "$(lease_field vm1 .reason)" = migration
}
# over STATUS: the migration is over, and everything as before
over() {
	check "$what: the migration is $1" wait_until 60 migration_is "$1"
	check "$what: gangway migrate says so" ended
	check "$what: the VF is back" wait_until 90 leg_is vm1 passthrough
	before=$(moves)
	check "$what: ping on the VF" ping_guest "$addr"
	check "$what: the VF's interrupts tell of it" test "$(moves)" -gt "$before"
	stream_stop vm1
	figures+=("$what $(stream_dark "$rate")/$(stood)")
	sink_stop
}

wire_up
vm1_begins "$via"
figures=()

# setup: the VMM connects, and the destination does not accept. A cancel is `cancelling` until the connection is made or refused (QEMU 11.1.3 has no
# other way out of a connect() that waits). The guest has not been asked for its VF.
for how in abort qmp; do
	stage "setup, $how"
	sink_start_full
	begin --bandwidth 4 --downtime 300
	comes setup
	check "$what: the VF is still the guest's" wait_until 20 still_in
	check "$what: ping on the VF" ping_guest "$addr"
	check "$what: it is cancelled" "end_$how"
	check "$what: the VMM waits for its connection" migration_is cancelling
	check "$what: which is refused" sink_kill
	over cancelled
done

# wait-unplug: a guest that stands still does not let its VF go. A cancel is `cancelling` until it has.
for how in abort qmp; do
	stage "wait-unplug, $how"
	sink_start
	guest_qmp vm1 stop >/dev/null
	begin --bandwidth 4 --downtime 300
	comes wait-unplug
	check "$what: the VF is still the guest's" wait_until 20 still_in
	check "$what: it is cancelled" "end_$how"
	check "$what: the VMM waits for the guest" migration_is cancelling
	guest_qmp vm1 cont >/dev/null
	over cancelled
done

# A gangwayd that comes when the guest has been asked was not told so.
stage "wait-unplug, gangwayd killed"
sink_start
guest_qmp vm1 stop >/dev/null
begin --bandwidth 4 --downtime 300
comes wait-unplug
gangwayd_kill
check "$what: it starts again" gangwayd_start
guest_qmp vm1 cont >/dev/null
check "$what: it comes to active" has_come active
emulated
check "$what: ping on the emulated leg" ping_guest "$addr"
check "$what: it is cancelled" end_abort
over cancelled

# QEMU waits no longer than 30 s. The guest that goes on later lets go all the same, and then the device leaves the VMM: for vfio-user, which no QEMU
# up to 11.1.3 survives, this is not tried.
if [[ $via == vfio-pci ]]; then
	stage "wait-unplug, given up"
	sink_start
	guest_qmp vm1 stop >/dev/null
	begin --bandwidth 4 --downtime 300
	comes wait-unplug
	check "$what: it is cancelled" end_abort
	check "$what: the VMM waits for the guest no more" has_come cancelled
	guest_qmp vm1 cont >/dev/null
	check "$what: the guest lets its VF go" guest_wait vm1 DEVICE_DELETED '{"device":"gangway-nic0"}' 30 "$mark"
	over cancelled
else
	skip "wait-unplug, given up" "a guest that lets a vfio-user device go too late ends this VMM"
fi

# active: what is to be copied takes long at that rate.
for how in abort qmp dies; do
	stage "active, $how"
	sink_start
	begin --bandwidth 4 --downtime 300
	comes active
	emulated
	check "$what: ping on the emulated leg" ping_guest "$addr"
	check "$what: it is ended" "end_$how"
	over "$(status_after "$how")"
done

# pre-switchover: the VMM waits for migrate-continue. With so much downtime allowed that is soon; the guest stands still from then on.
capability pause-before-switchover true
for how in abort qmp; do
	stage "pre-switchover, $how"
	sink_start
	begin --bandwidth 4 --downtime 2000000
	comes pre-switchover
	emulated
	check "$what: it is cancelled" "end_$how"
	over cancelled
done

# device, while the rest of the memory is sent to a destination that takes nothing: QEMU holds its big lock meanwhile and answers nobody, so a cancel is not
# even heard. What helps is the destination's end, or its going on.
stage "device, sending"
sink_start
begin --bandwidth 4 --downtime 2000000
comes pre-switchover
emulated
kill -STOP "$sink_pid"
guest_qmp vm1 migrate-continue state=pre-switchover >/dev/null 2>&1 & # answered, or not any more
check "$what: it comes to device" has_come device
check "$what: no cancel is heard" unheard
check "$what: the destination dies" sink_kill
over 'failed|cancelled'
capability pause-before-switchover false

# device, when all is sent: with a return path the destination is to say that it has it. This one says nothing.
capability return-path true
for how in abort qmp dies; do
	stage "device, $how"
	sink_start
	begin --bandwidth 1000 --downtime 1000
	comes device
	emulated
	check "$what: it is ended" "end_$how"
	over "$(status_after "$how")"
done
capability return-path false

[[ $via == vfio-user ]] || check "detach" gw detach vm1 # a VMM that cannot unplug it: the lease ends with the guest
guest_stop vm1
check "no lease is left" wait_until 20 no_lease vm1
check "guest remove" gw guest remove vm1
check "the host is unchanged" host_diff /run/lab/before
figure "migrate-abort ($via): dark ms / ms that the guest stood still: $(printf '%s; ' "${figures[@]}" | sed 's/; $//')"
