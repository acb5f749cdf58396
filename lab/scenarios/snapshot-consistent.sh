# shellcheck shell=bash
# about: a snapshot in the background of a guest that receives by its VF: none of its pages is of after the moment it was begun
# needs: gangway
# limit: 600
. /share/lab/lib/all.sh
mac=52:54:00:aa:00:01 addr=10.9.0.11 rate=500
export GUEST_MEM=256M GUEST_HUGE=0 # userfaultfd write protection is for small pages

background() {
	guest_qmp vm1 migrate-set-capabilities '{"capabilities":[{"capability":"background-snapshot","state":'"$1"'}]}' >/dev/null
}
# A file that grows: each block has its number, and the sum of all before it. One page too new, or too old, and they do not agree.
writer='mkdir -p /t; mount -t tmpfs -o size=60m none /t; : >/t/log
	n=0; sum=0; while :; do n=$((n + 1)); sum=$(((sum + n) % 1000003)); echo "$n $sum" >>/t/log; done'
checker='awk "{ s = (s + NR) % 1000003; if (\$1 != NR || \$2 != s) { print \"line \" NR \": \" \$0; exit 1 } } END { print NR }" /t/log'

wire_up
vm1_begins
if ! background true; then
	skip "in the background" "this QEMU or kernel refuses the capability"
	guest_stop vm1
	exit 0
fi
guest_run vm1 "( $writer ) >/dev/null 2>&1 &"
stream_start vm1 "$addr" "$rate" # what the VF writes by itself
guest_qmp vm1 migrate-set-parameters max-bandwidth=16777216 >/dev/null
mark=$(guest_mark vm1)
check "a snapshot in the background" guest_qmp vm1 migrate uri=file:/run/lab/snapshot
check "the guest is off its VF while it is taken" wait_until 30 leg_is vm1 emulated
# begun by QMP: what kind of migration it is, only the one who begins it knows
check "for that reason" test "$(lease_field vm1 .reason)" = migration
check "it is complete" guest_wait vm1 MIGRATION '{"status":"completed"}' 240 "$mark"
check "the VF is back" wait_until 60 leg_is vm1 passthrough
stream_stop vm1
background false
check "detach" gw detach vm1
guest_stop vm1
check "guest remove" gw guest remove vm1

guest_incoming vm1
check "guest add" gw guest add vm1 --qmp "$(guest_qmp_path vm1)"
check "attach before it is restored" gw attach vm1 "$pf" --via vfio-pci --standby macvtap --mac "$mac"
guest_qmp vm1 migrate-incoming uri=file:/run/lab/snapshot >/dev/null
guest_wait vm1 MIGRATION '{"status":"completed"}' 120 >/dev/null || true
guest_qmp vm1 cont >/dev/null
check "the restored guest runs, and has its VF" wait_until 60 leg_is vm1 passthrough
lines=$(guest_run vm1 "$checker" 60) || lines="not consistent: $lines"
check "each line that it wrote agrees with all before it" test "$lines" -gt 100
check "ping on its VF" ping_guest "$addr"
figure "snapshot: consistent, $lines lines"
check "detach" gw detach vm1
guest_stop vm1
check "guest remove" gw guest remove vm1
check "the host is unchanged" host_diff /run/lab/before
