# shellcheck shell=bash
# about: migrations that are cancelled, or whose destination dies, at each stage: the VF comes back at the source
# needs: gangway
# limit: 600
. /share/lab/lib/all.sh
rate=500 mac=52:54:00:aa:00:01 addr=10.9.0.11 sink=/run/lab/sink

dark() { jq -r --argjson rate "$rate" '[.to_guest.lost, .from_guest.lost] | map((. // 1e9) * 1000 / $rate | round) | max' <<<"$stream"; }
migration_status() { guest_qmp vm1 query-migrate | jq -r '.status // "none"'; }
migration_is() { [[ $(migration_status) =~ ^($1)$ ]]; }
# sink: what stands for a destination: it takes what comes and says nothing
sink_start() { rm -f "$sink"; socat -u "UNIX-LISTEN:$sink" OPEN:/dev/null & sink_pid=$!; wait_until 5 test -S "$sink"; }
sink_stop() { kill "$sink_pid" 2>/dev/null || true; wait "$sink_pid" || true; }
migrate_begin() {
	gangway migrate vm1 "unix:$sink" --bandwidth 4 >"$lab_log/migrate.$1" 2>&1 &
	migrate_pid=$!
}
# ended STATUS: the command in the background has ended so
ended() { local status=0; wait "$migrate_pid" || status=$?; cat "$lab_log/migrate.$1"; [[ $status -ne 0 ]]; }

wire_up
gangwayd_start
check "pf set: 2 VFs" gw pf set "$pf" vfs 2
pf_ready
guest_start vm1
check "guest add" gw guest add vm1 --qmp "$(guest_qmp_path vm1)"
host_snapshot /run/lab/before
check "attach with an emulated leg" gw attach vm1 "$pf" --via vfio-pci --standby macvtap --mac "$mac"
pair_up vm1 "$addr"

darks=()
# stage WHAT STATUSES HOW...: begin a migration, wait until it is there, end it by HOW
stage() {
	local what=$1 statuses=$2; shift 2
	sink_start
	stream_start vm1 "$addr" "$rate"
	migrate_begin "$what"
	check "$what: the migration gets there" wait_until 30 migration_is "$statuses"
	if [[ $statuses == active ]]; then
		check "$what: the guest is on its emulated leg" wait_until 10 leg_is vm1 emulated
		check "$what: for the migration" test "$(lease_field vm1 .reason)" = migration
		check "$what: ping on the emulated leg" ping_guest "$addr"
	fi
	check "$what: it is ended" "$@"
	check "$what: gangway migrate says so" ended "$what"
	check "$what: the VF is back" wait_until 60 leg_is vm1 passthrough
	check "$what: ping on the VF" ping_guest "$addr"
	stream_stop vm1
	darks+=("$(dark)")
	sink_stop
	check "$what: no migration is under way" migration_is 'cancelled|failed|none'
}
stage cancel-early 'setup|wait-unplug|active' gw migrate vm1 --abort
stage cancel-active active gw migrate vm1 --abort
stage cancel-by-qmp active guest_qmp vm1 migrate_cancel
kill_sink() { kill -KILL "$sink_pid"; }
stage destination-dies active kill_sink
check "detach" gw detach vm1
check "the host is unchanged" host_diff /run/lab/before
figure "migrate-abort: dark ms of each: ${darks[*]}"
