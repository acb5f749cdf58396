# shellcheck shell=bash
# about: a hostile guest: its VF is made to read and write what it must not reach; the IOMMU refuses and the faults are the VF's
# needs: gangway
# limit: 900
#
# vm1 is a program of ours (lab/dmaguest) that takes its VF over gangway's vfio-user socket and drives it by itself. vm2 is a real guest
# beside it, with a VF of its own and a stream that must lose nothing.
. /share/lab/lib/all.sh
mac=52:54:00:aa:00:01
cases=0
counted=0     # faults of vm1, as gangway says
logged=0      # lines of dmar_fault_list that are accounted for
quiet_until=0 # in microseconds: when the kernel will log a fault again for sure

# the program that plays vm1; it stays off the processor of vm2
hostile_start() {
	coproc HOSTILE { exec taskset -c 0 /usr/libexec/dmaguest serve "$1" /run/netns/wire wire0 2>&1 3>&-; }
	to_hostile=${HOSTILE[1]} from_hostile=${HOSTILE[0]} player=$HOSTILE_PID
	read -r -t 60 -u "$from_hostile" answer || true
	echo "$answer"
	jq -e .mac <<<"$answer"
}
hostile_stop() {
	exec {to_hostile}>&-
	wait "$player"
}
# ask CASE [ARG]: $answer is what the program says of it
ask() {
	answer='' cases=$((cases + 1))
	echo "$*" >&"$to_hostile"
	read -r -t 90 -u "$from_hostile" answer || true
	echo "$answer"
}
# says FILTER CASE [ARG]: the answer satisfies the jq filter
says() {
	local filter=$1; shift
	ask "$@"
	jq -e "$filter" <<<"$answer"
}

# The kernel logs ten lines of faults in five seconds, three of them for a first fault, and drops the rest. Nobody is told when it counts
# anew. So five seconds lie between one case and the next.
log_ready() { [[ ${EPOCHREALTIME/./} -gt $quiet_until ]]; }
fault_logged() { [[ $(dmar_fault_list | wc -l) -gt $logged ]]; }
# blamed [LEAST]: since the last time there are new faults, 1 at least, and each is the VF's, of the access and in the range of $answer
blamed() {
	local status=0 access first last way device addr list
	access=$(jq -r .access <<<"$answer") first=$(($(jq -r .iova <<<"$answer"))) last=$(($(jq -r .last <<<"$answer")))
	[[ ${1:-1} -eq 0 ]] || wait_until 5 fault_logged || status=1
	quiet_until=$((${EPOCHREALTIME/./} + 5200000))
	list=$(dmar_fault_list | tail -n +$((logged + 1)))
	echo "$list"
	logged=$(dmar_fault_list | wc -l)
	while read -r way device addr; do
		[[ -n $way ]] || continue
		[[ $way == "$access" && $device == "$bdf" ]] && ((addr >= first && addr <= last)) || status=1
	done <<<"$list"
	return "$status"
}
# told: gangway has counted more faults of vm1 than before, and the last is of the access and in the range of $answer
fault_counted() { [[ $(lease_field vm1 .faults.count) -gt $counted ]]; }
told() {
	local kind way addr
	wait_until 5 fault_counted || return 1
	counted=$(lease_field vm1 .faults.count)
	read -r kind way addr < <(lease_field vm1 '.faults.last | "\(.kind) \(.direction) \(.address)"')
	echo "$counted faults, the last: $kind $way $addr"
	[[ $kind == dma && ${way^} == "$(jq -r .access <<<"$answer")" ]] && ((addr >= $(jq -r .iova <<<"$answer") && addr <= $(jq -r .last <<<"$answer")))
}
# blocked DESC FILTER CASE [ARG]: the case does no harm, as the filter says; the kernel and gangway blame the VF for it
blocked() {
	local desc=$1 filter=$2; shift 2
	wait_until 10 log_ready
	check "$desc" says "$filter" "$@"
	check "$desc: the fault is the VF's, with its address" blamed
	check "$desc: gangway tells it of the lease" told
}
refused() {
	check "refused: $1, errno $2, and the connection goes on" says ".errno == $2 and .alive" refuse "$1"
}

# memory_plant: vm2 gets a page of memory that nobody in it changes; memory_sum: what is in it, as vm2 sees it
memory_plant() {
	local page
	page=$(/usr/libexec/dmaguest marker "$(wire cat /sys/class/net/wire0/address)" | base64 -w 0)
	guest_run vm2 "echo $page | base64 -d >/tmp/page
		for i in 1 2 3 4; do cat /tmp/page; done >/tmp/memory
		for i in 1 2 3 4; do printf 'in use %d' \$i | dd of=/tmp/memory bs=1 seek=\$((i * 4096 - 8)) conv=notrunc; done
		rm /tmp/page"
}
memory_sum() { guest_run vm2 'sha256sum /tmp/memory'; }
# memory_file: the file that is vm2's memory, the only guest here that has a QEMU
memory_file() { find "/proc/$(pgrep -x qemu-system-x86)/fd" -lname '/memfd:memory-backend-memfd*' | head -n 1; }
# What an interrupt that nobody asked for would leave
odd_interrupts() {
	awk '$1 ~ /^(NMI|SPU|ERR|MIS|MCE):/ { for (i = 2; $i ~ /^[0-9]+$/; i++) sum[$1] += $i } END { for (k in sum) print k, sum[k] }' /proc/interrupts | sort
	dmesg | grep -ciE 'spurious|no irq handler|unexpected irq|NMI received|general protection|Oops|BUG:' || true
}

wire_up
# more faults than an honest guest has in its life: the VF is to go on all the same
printf '[daemon]\nfault_limit = 0\n' >/run/lab/gangway.conf
gangwayd_start --config /run/lab/gangway.conf
check "pf set: 3 VFs" gw pf set "$pf" vfs 3
pf_ready
host_snapshot /run/lab/empty

guest_start vm2
check "vm2: guest add" gw guest add vm2 --qmp "$(guest_qmp_path vm2)"
mark=$(guest_mark vm2)
check "vm2: attach" gw attach vm2 "$pf" --standby none --via vfio-user
interface=$(guest_vf_wait vm2 "$mark")
check "vm2: it has its VF" guest_address vm2 "$interface" 10.9.0.12/24
check "vm2: memory of its own, which it does not change" memory_plant
sum=$(memory_sum)

check "vm1: guest add" gw guest add vm1 --qmp /run/lab/vm1.qmp
check "vm1: attach --prepare" eval 'prepared=$(gwj attach vm1 "$pf" --standby none --via vfio-user --prepare --mac "$mac")'
socket=$(jq -r .lease.socket <<<"$prepared")
bdf=$(jq -r .lease.vf_bdf <<<"$prepared")
check "no fault so far" test "$(dmar_faults)" -eq 0
check "vm1 starts its VF by itself" hostile_start "$socket"
check "the PF gave it its MAC" test "$(jq -r .mac <<<"$answer")" = "$mac"
check "vm1: the lease is attached" wait_until 10 eval '[[ $(lease_field vm1 .state) == attached ]]'
stream_start vm2 10.9.0.12 100 # at 200 the guest once fell behind while frames ran into the other VF

# what it may
check "own memory is read: the frame is on the wire" says '.done and .seen' own-tx
check "own memory is written: the frame from the wire is there" says .landed own-rx
check "a read-only section is read" says '.done and .fence and .seen == 1' tx rom
check "a section is used, and unmapped" says '.used and .errno == 0' unmap
check "no fault by what is allowed" test "$(dmar_faults)" -eq 0

# what it must not
unsent='.done and .fence and .seen == 0'
unwritten='.done and .unchanged'
blocked "write to a read-only section" "$unwritten" rx rom+1
# QEMU's IOMMU refuses without a fault what its translation cache knows to be read-only
wait_until 10 log_ready
check "write to a page of it that the device has read" says "$unwritten" rx rom
check "write to a page of it that the device has read: if there is a fault, it is the VF's" blamed 0
blocked "read of an address that was never mapped" "$unsent" tx never
blocked "write to an address that was never mapped" "$unwritten" rx never
blocked "read of a section that is unmapped" "$unsent" tx gone
blocked "write to a section that is unmapped" "$unwritten" rx gone
blocked "write to a section that was unmapped while bus mastering was off" ".used and .errno == 0 and $unwritten" parked
check "vm2's memory is found from outside" says '.found == 4' other "$(memory_file)"
blocked "read of vm2's memory" "$unsent" tx other
blocked "write to vm2's memory" "$unwritten" rx other
check "vm2: its memory is as it was" test "$(memory_sum)" = "$sum"
blocked "frames run into a section while it is unmapped, ten times: no byte changes after the answer" \
	'.complete and .written > 0 and .errno == 0 and .whole and .changed == 0' flood
diag "flood: $answer"

wait_until 10 log_ready
odd_interrupts >/run/lab/interrupts
check "write to the interrupt window" says .done msi
check "no interrupt came of it" eval 'odd_interrupts | diff /run/lab/interrupts -'
diag "interrupt window: $(dmesg | grep 'INTR-REMAP' | tail -n 1 | grep . || echo 'no fault is reported')"
# No guest can do this, but a VMM can: it has the device's descriptor. Its own memory is all that it reaches, for the second that gangway
# keeps what was unmapped. What came of it is told, not judged.
wait_until 10 log_ready
ask parked past
diag "bus mastering switched on past gangway: $answer"
quiet_until=$((${EPOCHREALTIME/./} + 5200000)) logged=$(dmar_fault_list | wc -l)
check "own memory can still be read" says '.done and .seen' own-tx
check "own memory can still be written" says .landed own-rx

# requests that gangway refuses before the IOMMU is asked
refused msi-window 34
refused into-msi-window 34
refused around-msi-window 34
refused overlap 17
refused same-again 17
refused wrap 22
refused beyond-aperture 34
refused empty 22
refused unaligned 22
refused beyond-file 6
refused read-only-file 13
refused pipe 22
refused unmap-part 22
refused unmap-unknown 2
check "status says that vm1's memory has a hole" wait_until 5 eval '[[ $(lease_field vm1 .error.code) == iommu.degraded ]]'

check "vm1 goes" hostile_stop
check "its VMM comes again and starts anew" hostile_start "$socket"
check "own memory is read, and the hole is forgotten" eval 'says ".done and .seen" own-tx && wait_until 5 eval "[[ \$(lease_field vm1 .error) == null ]]"'
check "vm1 goes for good" hostile_stop

stream_stop vm2
check "vm2: its stream lost nothing" test "$(stream_lost)" = 0
check "vm2: its memory is as it was at the end" test "$(memory_sum)" = "$sum"
faults=$(dmar_fault_list | wc -l)
check "gangway counted none of vm2, and did not quarantine vm1" test "$(lease_field vm2 .faults.count) $(lease_field vm1 .faults.quarantined)" = "0 false"
check "all faults were accounted for" test "$faults" -eq "$logged"
sed -i "s/^dmar faults .*/dmar faults $(dmar_faults)/" /run/lab/empty
check "vm1: detach" gw detach vm1
check "vm1: guest remove" gw guest remove vm1
check "vm2: it shuts down" guest_poweroff vm2
check "vm2: its lease ends by itself" wait_until 20 no_lease vm2
guest_stop vm2
gw guest remove vm2
check "the host is unchanged but for the faults" host_diff /run/lab/empty
figure "dma-guard: $cases cases, $faults faults logged, $(dmar_fault_list | grep -c " $bdf ") of them the VF's, $counted counted by gangway; $(stream_lost) packets of the other guest lost"
