# shellcheck shell=bash
# about: pages that KSM has merged: what pinning them would take is shown and counted; they are merged again while the guest is off its VF
# needs: gangway
# limit: 900
. /share/lab/lib/all.sh
mac=52:54:00:aa:00:01 addr=10.9.0.11 ksm=/sys/kernel/mm/ksm
export GUEST_MEM=256M

mib() { echo $(($(gw_field "$1" memory show vm1) >> 20)); }
merged() { [[ $(mib .need.unmerged) -ge $1 ]]; }

[[ -e $ksm/run ]] || bail "this kernel has no KSM"
wire_up
gangwayd_start
check "pf set: 2 VFs" gw pf set "$pf" vfs 2
pf_ready
host_snapshot /run/lab/before
# anonymous memory, which is what KSM takes; QEMU marks it as mergeable by itself
GUEST_BACKEND="memory-backend-ram,id=mem,size=$GUEST_MEM,merge=on" guest_start vm1
check "guest add" gw guest add vm1 --qmp "$(guest_qmp_path vm1)"
guest_run vm1 'mkdir -p /t; mount -t tmpfs -o size=100m none /t; yes gangway | dd of=/t/x bs=1M count=80 iflag=fullblock 2>/dev/null' 60
echo 4000 >$ksm/pages_to_scan
echo 20 >$ksm/sleep_millisecs
echo 1 >$ksm/run
check "its pages are merged" wait_until 120 merged 40
before=$(mib .need.unmerged)
check "they count as what an attach takes" test "$(mib .need.fresh)" -ge "$before"
check "attach" gw attach vm1 "$pf/vf0" --via vfio-pci --standby macvtap --mac "$mac"
pair_up vm1 "$addr"
check "pinned pages are merged no more" test "$(mib .need.unmerged)" -lt 5
check "off its VF for a while" gw memory release vm1 --for 600
check "it is there" wait_until 60 leg_is vm1 emulated
check "they are merged again" wait_until 120 merged 40
figure "KSM: $before MiB unmerged by a VF, $(mib .need.unmerged) MiB merged again off it"
echo 2 >$ksm/run # all apart again
echo 0 >$ksm/run
check "detach" gw detach vm1
guest_stop vm1
check "guest remove" gw guest remove vm1
check "the host is unchanged" host_diff /run/lab/before
