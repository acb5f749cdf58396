# shellcheck shell=bash
# about: the figures: time of attach against a bare device_add, throughput both ways, messages, memory
# needs: gangway
# limit: 1200
# Arguments: the number of rounds (5)
. /share/lab/lib/all.sh
rounds=${1:-5}

median() { sort -n | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.3f", b ? a / b : 0 }'; }
# since T0: milliseconds from T0 until the guest's igbvf has brought its interface
since() { guest_wait vm1 GUEST_NET '{"action":"add","driver":"igbvf"}' 30 "$mark" | jq --argjson t "$1" '(.t - $t) * 1000 | round'; }
gone() { guest_wait vm1 DEVICE_DELETED "{\"device\":\"$1\"}" 30 "$mark" >/dev/null; }

bare_round() {
	local answer
	mark=$(guest_mark vm1)
	answer=$(keeper_call vm1 --arg vf "$vf" '{op: "qmp", execute: "device_add", arguments: {driver: "vfio-pci", host: $vf, id: "bare", bus: "rp0"}}')
	since "$(jq .sent <<<"$answer")" >>/run/lab/bare
	guest_qmp vm1 device_del id=bare
	gone bare
}
gangway_round() {
	local t0 answer
	mark=$(guest_mark vm1)
	t0=$EPOCHREALTIME
	answer=$(gwj attach vm1 "$vf" --standby none --via vfio-pci --timing)
	since "$t0" >>"/run/lab/seen$1"
	jq .own_ms <<<"$answer" >>"/run/lab/own$1"
	jq .total_ms <<<"$answer" >>"/run/lab/total$1"
	jq -r '.steps | map("\(.name) \(.ms * 10 | round / 10)") | join(", ")' <<<"$answer" >>"/run/lab/steps$1"
	gw detach vm1
}
# iperf_from ADDRESS [-R]: Mbit/s between that address of the guest and the wire's address of the same net
iperf_from() {
	guest_run vm1 "iperf3 -c ${1%.*}.1 -B $1 -t 3 ${2:-} -J" 25 | jq '.end.sum_received.bits_per_second / 1e6 | round'
}
private_kb() { awk '/^Private_/ { sum += $2 } END { print sum }' "/proc/$1/smaps_rollup"; }

wire_up
wire ip address add 10.9.1.1/24 dev wire0
printf '[irq]\nroute = no\n' >/run/lab/baseline.conf
chmod 644 /run/lab/baseline.conf
gangwayd_start --config /run/lab/baseline.conf
check "pf set: all VFs" gw pf set "$pf" vfs 7
pf_ready
guest_start vm1
gw guest add vm1 --qmp "$(guest_qmp_path vm1)"
vf=$(vf_bdf 0)
host_snapshot /run/lab/before

# attach, interleaved with a bare device_add of the same VF to the same guest. Both find it bound to vfio-pci already, as a host
# has it whose VFs are for guests; with a host driver to be taken off, which device_add cannot, gangway is measured alone.
bind_vfio "$vf"
for ((i = 1; i <= rounds; i++)); do
	bare_round
	gangway_round ''
done
bind_back "$vf" igbvf
for ((i = 1; i <= rounds; i++)); do gangway_round .igbvf; done
bare=$(median </run/lab/bare) seen=$(median </run/lab/seen) own=$(median </run/lab/own) total=$(median </run/lab/total)
attach_ratio=$(ratio "$seen" "$bare")
diag "bare device_add until the guest has the interface, ms: $(paste -sd' ' /run/lab/bare)"
diag "gangway attach until the guest has the interface, ms:  $(paste -sd' ' /run/lab/seen)"
diag "gangway's own share, ms: $(paste -sd' ' /run/lab/own)"
diag "total by --timing, ms:   $(paste -sd' ' /run/lab/total)"
diag "steps, ms, of each round:"
diag "$(cat /run/lab/steps)"
diag "with igbvf to be taken off: own $(median </run/lab/own.igbvf) ms, until the guest has the interface $(median </run/lab/seen.igbvf) ms"
check "$rounds rounds of each were measured" test "$(wc -l </run/lab/bare)/$(wc -l </run/lab/seen)" = "$rounds/$rounds"
check "the host is unchanged" host_diff /run/lab/before

# throughput: one VF by QEMU's own vfio-pci, one by vfio-user, in the same guest, in turn; then, in the guest started anew, the
# other way round. The interrupts of both go to one processor: where the host sends them is not what is compared.
to_one_cpu() {
	local irq
	for irq in $(grep -F 'vfio-msix' /proc/interrupts | cut -d: -f1); do echo 1 >"/proc/irq/$irq/smp_affinity"; done
}
messages=0
# measure PCI-VF USER-VF ROUNDS
measure() {
	local pci_vf=$1 user_vf=$2 way order path addr before
	guest_run vm1 'echo 1 >/proc/sys/net/ipv4/conf/all/arp_ignore; echo 1 >/proc/sys/net/ipv4/conf/all/arp_filter'
	bind_vfio "$pci_vf"
	mark=$(guest_mark vm1)
	guest_qmp vm1 device_add driver=vfio-pci host="$pci_vf" id=bare bus=rp3
	guest_address vm1 "$(guest_vf_wait vm1 "$mark")" 10.9.0.11/24
	mark=$(guest_mark vm1)
	check "attach $user_vf by vfio-user" gw attach vm1 "$user_vf" --standby none --via vfio-user
	guest_address vm1 "$(guest_vf_wait vm1 "$mark")" 10.9.1.11/24
	check "ping through both" eval 'ping_guest 10.9.0.11 && ping_guest 10.9.1.11'
	to_one_cpu
	before=$(lease_field vm1 .device.messages)
	# each in turn the first: the emulation wanders by some percent
	for ((i = 1; i <= $3; i++)); do
		for way in '' -R; do
			order='pci user'
			[[ $((i % 2)) -eq 1 ]] || order='user pci'
			for path in $order; do
				case $path in pci) addr=10.9.0.11 ;; user) addr=10.9.1.11 ;; esac
				iperf_from "$addr" $way >>"/run/lab/$path$way"
			done
		done
	done
	messages=$((messages + $(lease_field vm1 .device.messages) - before))
	check "the guest ends, the lease with it" eval 'guest_poweroff vm1 && wait_until 20 no_lease vm1'
	guest_stop vm1
	bind_back "$pci_vf" igbvf
}
measure "$vf" "$(vf_bdf 1)" "$rounds"
guest_start vm1
measure "$(vf_bdf 1)" "$vf" "$rounds"
diag "vfio-pci out, Mbit/s:  $(paste -sd' ' /run/lab/pci)    in: $(paste -sd' ' /run/lab/pci-R)"
diag "vfio-user out, Mbit/s: $(paste -sd' ' /run/lab/user)    in: $(paste -sd' ' /run/lab/user-R)"
out_ratio=$(ratio "$(median </run/lab/user)" "$(median </run/lab/pci)")
in_ratio=$(ratio "$(median </run/lab/user-R)" "$(median </run/lab/pci-R)")
check "no vfio-user message flowed during the traffic" test "$messages" -eq 0

# mapping the same memory by the two ioctls, and through gangway's checks
bind_vfio "$vf"
dma=$(/usr/libexec/bench_dma "$vf" 256 4 21)
bind_back "$vf" igbvf
diag "map and unmap 256 MiB: $dma"
dma_ratio=$(jq .threads.map <<<"$dma") dma_both=$(jq .threads.both <<<"$dma") dma_inline=$(jq .inline.both <<<"$dma")
diag "$(jq -r '"cold memory, GiB/s: the kernel alone \(.cold_kernel), by 1 thread \(.cold_1), by 2 threads \(.cold_2)"' <<<"$dma")"
diag "$(jq -r '"the VMM had its answer for 4 GiB after at most \(.answer_ms) ms"' <<<"$dma")"

# firmware, with the VF there from the start: it makes the VMM unmap and map all of RAM again and again
gw guest add cold --qmp "$(guest_qmp_path cold)"
read -r -d '' -a words < <(gw attach cold "$pf/vf0" --standby none --via vfio-user --prepare) || true
guest_start cold "${words[@]}"
firmware=$(lease_field cold .device)
guest_ram=$(($(guest_qmp cold query-memory-size-summary | jq '."base-memory"')))
pinned_ratio=$(jq --argjson ram "$guest_ram" '.dma_pinned_total / $ram * 1000 | round / 1000' <<<"$firmware")
diag "firmware boot: $(jq -c '{messages, dma_bytes, dma_pinned_total}' <<<"$firmware") of $guest_ram bytes of RAM"
check "the guest ends" guest_poweroff cold
guest_stop cold
check "its lease is taken back" gw detach cold
gw guest remove cold

# memory, with a lease on each VF
for i in 0 1 2 3 4 5 6; do
	gw guest add "g$i" --qmp "/run/lab/g$i/qmp"
	gw attach "g$i" "$pf/vf$i" --standby none --via vfio-user --prepare
done
check "7 leases" test "$(leases)" -eq 7
daemon_kb=$(awk '/^VmRSS/ { print $2 }' "/proc/$gangwayd_pid/status")
device_kb=$(for p in $(pgrep -x gangway-device); do private_kb "$p"; done | sort -n | tail -n 1)
diag "gangwayd resident: $daemon_kb kB; gangway-device of its own, the largest: ${device_kb:-?} kB"
for i in 0 1 2 3 4 5 6; do gw detach "g$i"; gw guest remove "g$i"; done
gw guest remove vm1
check "no lease is left" test "$(leases)" -eq 0

figure "attach own $own ms (10), total/bare $attach_ratio (1.05: $seen/$bare ms); vfio-user/vfio-pci out $out_ratio in $in_ratio (0.97);" \
	"DMA map/bare ioctls $dma_ratio (1.02), with unmap $dma_both, without threads $dma_inline; pinned at boot/RAM $pinned_ratio (1.1);" \
	"$messages messages (0); gangwayd $daemon_kb kB (10240), gangway-device ${device_kb:-?} kB (2048)"
