# shellcheck shell=bash
# about: a VF that does DMA to where it may not: counted, told, quarantined; both ways, and over a gangwayd that is killed
# needs: gangway
# limit: 600
. /share/lab/lib/all.sh
total=0

# vmm WORD...: the stand-in for a VMM does it, and says so
vmm() {
	local answer
	echo "$*" >&"${vfdma[1]}" && IFS= read -r -t 60 -u "${vfdma[0]}" answer && echo "vfdma: $answer" && [[ $answer == "${vmm_wants:-done}" ]]
}
vmm_start() {
	local answer
	coproc vfdma { exec python3 /share/lab/lib/vfdma.py "$@" 2>>"$lab_log/vfdma.log" 3>&-; }
	IFS= read -r -t 20 -u "${vfdma[0]}" answer && [[ $answer == ready ]] && vmm start
}
vmm_end() { local pid=$vfdma_PID; echo quit >&"${vfdma[1]}" && wait "$pid"; }
faults_of() { gw_field ".leases[0].faults.$2" status "$1"; }
some_fault() { [[ $(faults_of vm1 count) -gt 0 ]]; }
is_quarantined() { [[ $(faults_of vm1 quarantined) == true ]]; }
# The bus master bit as the hardware has it.
hw_master() { setpci -s "$1" COMMAND | grep -q '[4-7c-f]$'; }
hw_master_off() { ! hw_master "$1"; }
# quiet_poke: DMA is tried again, and the IOMMU sees none of it
quiet_poke() {
	local before
	before=$(dmar_faults)
	vmm poke 20 10 && sleep 1 && [[ $(dmar_faults) -eq $before ]]
}
# storm: until the kernel has said how many it has left out
storm() { vmm poke 150 20 && sleep 4 && vmm poke 5 20; }

wire_up
printf '[daemon]\nfault_limit = 40\nfault_window = 60\n' >/run/lab/gangway.conf
chmod 644 /run/lab/gangway.conf
gangwayd_start --config /run/lab/gangway.conf
check "pf set: 3 VFs" gw pf set "$pf" vfs 3
pf_ready
gw guest add vm1 --qmp "$(guest_qmp_path vm1)"
gw guest add vm2 --qmp "$(guest_qmp_path vm2)"
gw attach vm2 "$pf/vf2" --standby none --prepare --via vfio-pci

for via in vfio-user vfio-pci; do
	check "$via: attach --prepare" gw attach vm1 "$pf/vf0" --standby none --prepare --via "$via"
	bdf=$(lease_field vm1 .vf_bdf)
	gw -j monitor >"$lab_log/monitor.$via" 3>&- &
	monitor=$!
	if [[ $via == vfio-user ]]; then target=$(lease_field vm1 .socket); else target=$bdf; fi
	check "$via: a VMM drives the VF" vmm_start "$via" "$target"
	check "$via: the VF may do DMA" hw_master "$bdf"

	check "$via: a DMA to where nothing is mapped" vmm poke 1 10
	check "$via: it is counted" wait_until 5 some_fault
	check "$via: where, and which way" test "$(faults_of vm1 last.address) $(faults_of vm1 last.direction) $(faults_of vm1 last.kind)" = \
		"0x12345000 read dma"
	check "$via: it is an event" wait_until 5 grep -q '"event":"fault".*"address":"0x12345000"' "$lab_log/monitor.$via"
	check "$via: vf show tells it" eval 'gw vf show "$pf/vf0" | tee /dev/stderr | grep -q "^faults .*0x12345000"'
	check "$via: one fault is not too many" eval '! is_quarantined'

	check "$via: a storm" storm
	check "$via: the VF is quarantined" wait_until 10 is_quarantined
	check "$via: reason vf-fault" test "$(lease_field vm1 .reason)" = vf-fault
	check "$via: its bus mastering is off" wait_until 5 hw_master_off "$bdf"
	check "$via: it does no DMA any more" quiet_poke
	check "$via: the other lease is as it was" test "$(gw_field '.leases[0] | "\(.faults.count) \(.faults.quarantined) \(.reason)"' status vm2)" = "0 false null"
	total=$((total + $(faults_of vm1 count)))
	diag "$via: $(faults_of vm1 count) faults counted, $(dmar_faults) lines of the kernel; $(grep -c 'lease vm1.*VF' "$lab_log/gangwayd.log") lines in gangwayd's log"

	check "$via: the VMM switches bus mastering on" vmm master
	if [[ $via == vfio-user ]]; then
		check "$via: and has it on, as it reads it" eval 'vmm_wants=on vmm master?'
		check "$via: the hardware has not" hw_master_off "$bdf"
	else
		check "$via: the hardware has it" hw_master "$bdf"
		check "$via: a fault switches it off again" eval 'vmm poke 1 10; wait_until 15 hw_master_off "$bdf"'
	fi
	check "$via: it does no DMA any more" quiet_poke

	gangwayd_kill
	check "$via: gangwayd starts again" gangwayd_start --config /run/lab/gangway.conf
	check "$via: still quarantined" wait_until 10 is_quarantined
	check "$via: the hardware too" hw_master_off "$bdf"
	kill "$monitor" 2>/dev/null || true
	wait "$monitor" || true
	vmm_end || true
	check "$via: detach" gw detach vm1
	check "$via: the VF is back with its driver" wait_until 10 eval '[[ $(driver_of "$bdf") == igbvf ]]'

	check "$via: attach --prepare again" gw attach vm1 "$pf/vf0" --standby none --prepare --via "$via"
	check "$via: no fault, no quarantine" test "$(faults_of vm1 count) $(faults_of vm1 quarantined)" = "0 false"
	check "$via: detach" gw detach vm1
done
check "detach of the other" gw detach vm2
check "doctor says that the log is read" eval '{ gw -j doctor || true; } | jq -e ".findings[] | select(.check == \"faults\" and .status != \"fail\")"'
figure "faults: $total counted for one VF, each way quarantined past 40"
