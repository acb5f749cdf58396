# shellcheck shell=bash
# about: a balloon that a VF keeps from inflating: memory release gives it a window, then the VF is back
# needs: gangway
# limit: 600
. /share/lab/lib/all.sh
mac=52:54:00:aa:00:01 addr=10.9.0.11 target=$((192 << 20))
export GUEST_MEM=384M GUEST_HUGE=0

left() { guest_qmp vm1 query-balloon | jq -r .actual; }
is_empty() { [[ $(left) -ge $((380 << 20)) ]]; }
is_given() { [[ $(resident) -lt $((pinned - (64 << 20))) ]]; }
is_at() { [[ $(left) -le $1 ]]; }
resident() { gw_field '.areas[0].resident' memory show vm1; }

wire_up
gangwayd_start
check "pf set: 2 VFs" gw pf set "$pf" vfs 2
pf_ready
host_snapshot /run/lab/before
guest_start vm1 -device virtio-balloon-pci,id=balloon0
check "guest add" gw guest add vm1 --qmp "$(guest_qmp_path vm1)"
check "attach" gw attach vm1 "$pf/vf0" --via vfio-pci --standby macvtap --mac "$mac"
pair_up vm1 "$addr"
pinned=$(resident)
check "memory show knows the balloon" test "$(gw_field .balloon memory show vm1)" -gt 0

# asked for while the VF pins all: whatever the guest says, the host gets nothing
guest_qmp vm1 balloon value=$target >/dev/null
sleep 5 # nothing tells that nothing happens
check "with its VF, the host gets nothing" test "$(resident)" -ge $((pinned - (16 << 20)))
guest_qmp vm1 balloon value=$((384 << 20)) >/dev/null
check "the balloon is empty again" wait_until 30 is_empty

began=$EPOCHREALTIME
check "release until the balloon is there" gw memory release vm1 --until-bytes $target --for 300
check "it is off its VF" wait_until 60 leg_is vm1 emulated
check "ping on the emulated leg" ping_guest "$addr"
guest_qmp vm1 balloon value=$target >/dev/null
check "the balloon inflates" wait_until 60 is_at $target
check "the host has the memory" wait_until 30 is_given
check "the VF is back" wait_until 90 leg_is vm1 passthrough
check "ping on the VF" ping_guest "$addr"
figure "balloon: off the VF for $(awk -v a="$began" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }') s"
check "detach" gw detach vm1
guest_stop vm1
check "guest remove" gw guest remove vm1
check "the host is unchanged" host_diff /run/lab/before
