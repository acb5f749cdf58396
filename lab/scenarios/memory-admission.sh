# shellcheck shell=bash
# about: an attach whose guest's memory host or cgroup cannot give: refused, or on the emulated leg until there is room; what memory show says
# needs: gangway
# limit: 600
. /share/lab/lib/all.sh
mac=52:54:00:aa:00:01 addr=10.9.0.11 group=/sys/fs/cgroup/lab-vm1
export GUEST_MEM=512M GUEST_HUGE=0 # 4 KiB pages: those of the huge ones are put aside when the guest starts

bytes() { gw_field "$1" memory show vm1; }
mib() { echo $(($(bytes "$1") >> 20)); }
# The guest's VMM in a cgroup of its own: what it has so far stays where it was counted, what it brings counts here.
into_cgroup() {
	mkdir -p "$group" && [[ -e $group/memory.high ]] && gw_field .guest.pid guest show vm1 >"$group/cgroup.procs"
}
told() { gw_field '.summary' memory show vm1 | grep -E "$1"; }

wire_up
gangwayd_start
check "pf set: 2 VFs" gw pf set "$pf" vfs 2
pf_ready
mountpoint -q /sys/fs/cgroup || mount -t cgroup2 cgroup2 /sys/fs/cgroup || true
echo +memory >/sys/fs/cgroup/cgroup.subtree_control || true
host_snapshot /run/lab/before
guest_start vm1
host_snapshot /run/lab/with_guest
check "guest add" gw guest add vm1 --qmp "$(guest_qmp_path vm1)"

check "memory show finds its memfd" wait_until 20 eval '[[ $(gw_field ".areas[0].backing" memory show vm1) == memfd ]]'
check "most of it was never touched" test "$(mib .need.fresh)" -gt 200
check "it fits" test "$(gw_field .fits memory show vm1)" = true
fresh=$(mib .need.fresh)
guest_run vm1 'mkdir -p /t; mount -t tmpfs -o size=80m none /t; dd if=/dev/zero of=/t/x bs=1M count=64 2>/dev/null' 60
check "what the guest touches is there" test "$(mib .need.fresh)" -lt $((fresh - 40))
guest_run vm1 'rm /t/x'

if into_cgroup; then
	echo $((64 << 20)) >"$group/memory.high" # not max: nobody is to be killed
	check "the sentence names the cgroup" told 'cgroup /lab-vm1 has .* to give'
	check "refused, nothing is changed" gw_error 1 attach.memory-not-resident attach vm1 "$pf" --via vfio-pci --standby none
	check "the host is unchanged" host_diff /run/lab/with_guest
	check "with an emulated leg it begins on that" gw attach vm1 "$pf/vf0" --via vfio-pci --standby macvtap --mac "$mac"
	check "it is there" wait_until 20 leg_is vm1 emulated
	check "and says why" test "$(lease_field vm1 .reason)" = memory-not-resident
	check "nothing is pinned" test "$(bytes .process.locked)" -eq 0
	began=$EPOCHREALTIME
	echo max >"$group/memory.high"
	check "it goes to its VF when there is room" wait_until 60 leg_is vm1 passthrough
	figure "on its VF $(awk -v a="$began" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }') s after there was room"
	check "its memory is pinned" test "$(mib .process.locked)" -ge 512
	check "the guest has paired its two legs" wait_until 20 guest_pair vm1
	check "their interface has an address and a carrier" guest_address vm1 "$(guest_pair vm1)" "$addr/24"
	check "ping on the VF" ping_guest "$addr"
	check "detach" gw detach vm1
	check "nothing is pinned any more" test "$(bytes .process.locked)" -eq 0
else
	skip "a cgroup of its own" "this kernel has no memory controller of version 2"
fi

# gone while gangwayd looks: shown, and no reason to refuse
guest_stop vm1
check "guest remove" gw guest remove vm1
rmdir "$group" 2>/dev/null || true
check "the host is unchanged" host_diff /run/lab/before
