# shellcheck shell=bash
# about: snapshots of a guest with a VF, under traffic: into a file, by gangway and by others, and in the background; off the VF before, back after
# needs: gangway
# limit: 600
. /share/lab/lib/all.sh
rate=500 mac=52:54:00:aa:00:01 addr=10.9.0.11
export GUEST_MEM=256M # each MiB of it costs the emulated host time

migration_is() { [[ $(guest_qmp vm1 query-migrate | jq -r '.status // "none"') =~ ^($1)$ ]]; }
# The guest stands still when its snapshot is complete: nothing of it is to be in the VF any more, nor on its way there.
was_emulated() { [[ $(lease_field vm1 .leg) != passthrough ]]; }

wire_up
vm1_begins
check "ping on the VF" ping_guest "$addr"

# a file, by gangway's command
check "gangway migrate into a file" gw migrate vm1 file:/run/lab/first
check "it is complete" migration_is completed
check "the guest was off its VF" was_emulated
check "there is something in it" test -s /run/lab/first
guest_qmp vm1 cont >/dev/null
check "the VF is back" wait_until 60 leg_is vm1 passthrough
check "ping on the VF" ping_guest "$addr"

# a file, by somebody else: gangway is told nothing of it
guest_run vm1 'echo before >/run/word'
guest_qmp vm1 migrate uri=file:/run/lab/second >/dev/null
check "another one, by QMP: it is complete" wait_until 60 migration_is completed
check "the guest was off its VF" was_emulated
guest_qmp vm1 cont >/dev/null
guest_run vm1 'echo after >/run/word'
check "the VF is back" wait_until 60 leg_is vm1 passthrough
check "ping on the VF" ping_guest "$addr"

# in the background: the guest runs on meanwhile, on its emulated leg
background() {
	guest_qmp vm1 migrate-set-capabilities '{"capabilities":[{"capability":"background-snapshot","state":'"$1"'}]}' >/dev/null
}
if background true; then
	stream_start vm1 "$addr" "$rate"
	guest_qmp vm1 migrate-set-parameters max-bandwidth=33554432 >/dev/null
	mark=$(guest_mark vm1)
	check "in the background" guest_qmp vm1 migrate uri=file:/run/lab/third
	check "it is under way" wait_until 30 migration_is active
	check "the guest is on its emulated leg" leg_is vm1 emulated
	check "ping on the emulated leg" ping_guest "$addr"
	# the event, as what query-migrate tells is soon that of the VF that is plugged back
	check "it is complete" guest_wait vm1 MIGRATION '{"status":"completed"}' 120 "$mark"
	check "the VF is back" wait_until 60 leg_is vm1 passthrough
	check "ping on the VF" ping_guest "$addr"
	stream_stop vm1
	background false
	dark="dark $(stream_dark "$rate") ms around a snapshot in the background"
else
	skip "in the background" "this QEMU or kernel refuses the capability"
	dark="none in the background"
fi
check "detach" gw detach vm1
guest_stop vm1
check "guest remove" gw guest remove vm1
check "the host is unchanged" host_diff /run/lab/before

# by content: the second snapshot is of the moment between two words, and has a NIC that works
guest_incoming vm1
check "guest add" gw guest add vm1 --qmp "$(guest_qmp_path vm1)"
check "attach before it is restored" gw attach vm1 "$pf" --via vfio-pci --standby macvtap --mac "$mac"
guest_qmp vm1 migrate-incoming uri=file:/run/lab/second >/dev/null
guest_wait vm1 MIGRATION '{"status":"completed"}' 60 >/dev/null || true
guest_qmp vm1 cont >/dev/null
check "the restored guest has its VF" wait_until 60 leg_is vm1 passthrough
check "it is as it was then" test "$(guest_run vm1 'cat /run/word')" = before
check "ping on its VF" ping_guest "$addr"
check "detach" gw detach vm1
guest_stop vm1
check "guest remove" gw guest remove vm1
check "the host is unchanged" host_diff /run/lab/before
figure "snapshot: $dark"
