# shellcheck shell=bash
# about: private memory: vfio-user is refused before anything is mapped; a clone of a template copies all of it, and only where that is accepted
# needs: gangway
# limit: 600
. /share/lab/lib/all.sh
mac=52:54:00:aa:00:01 addr=10.9.0.11 template=/run/lab/template
export GUEST_MEM=256M GUEST_HUGE=0 GUEST_SHARE=off

field() { gw_field "$1" memory show vm1; }
mib() { echo $(($(field "$1") >> 20)); }

wire_up
gangwayd_start
check "pf set: 2 VFs" gw pf set "$pf" vfs 2
pf_ready
host_snapshot /run/lab/before

# a memfd of its own: private, and nobody's template
guest_start vm1
host_snapshot /run/lab/with_guest
check "guest add" gw guest add vm1 --qmp "$(guest_qmp_path vm1)"
check "it is private" wait_until 20 eval '[[ $(field ".areas[0].shared") == false ]]'
check "vfio-user: refused" gw_error 1 vmm.memory-private attach vm1 "$pf" --via vfio-user
check "nothing was mapped, the host is unchanged" host_diff /run/lab/with_guest
check "vfio-pci: needs no word" gw attach vm1 "$pf/vf0" --via vfio-pci --standby macvtap --mac "$mac"
pair_up vm1 "$addr"
check "ping on the VF" ping_guest "$addr"
check "detach" gw detach vm1
guest_stop vm1
check "guest remove" gw guest remove vm1

# a clone: its RAM is a file's pages until it writes to them
truncate -s "$GUEST_MEM" "$template"
GUEST_BACKEND="memory-backend-file,id=mem,size=$GUEST_MEM,share=off,mem-path=$template" guest_start vm1
host_snapshot /run/lab/with_guest
check "guest add" gw guest add vm1 --qmp "$(guest_qmp_path vm1)"
check "its VMM has told of its memory" wait_until 20 eval '[[ $(field .need.copied) != null ]]'
copied=$(mib .need.copied)
check "much of it is the template's still" test "$copied" -gt 50
check "refused" gw_error 1 attach.memory-private attach vm1 "$pf" --via vfio-pci
check "the host is unchanged" host_diff /run/lab/with_guest
check "with an emulated leg by name it begins on that" gw attach vm1 "$pf/vf0" --via vfio-pci --standby macvtap --mac "$mac"
check "it is there" wait_until 20 leg_is vm1 emulated
check "and says why" test "$(lease_field vm1 .reason)" = memory-private
check "none of it was copied by that" test "$(mib .need.copied)" -gt $((copied - 20))
check "the operator accepts the cost" gw memory set vm1 pin --unshare
check "it goes to its VF" wait_until 60 leg_is vm1 passthrough
pair_up vm1 "$addr"
check "ping on the VF" ping_guest "$addr"
check "all of it is copied" test "$(mib .need.copied)" -eq 0
figure "a clone of $GUEST_MEM: $copied MiB copied for its VF"
check "detach" gw detach vm1
guest_stop vm1
check "guest remove" gw guest remove vm1
rm "$template"
check "the host is unchanged" host_diff /run/lab/before
