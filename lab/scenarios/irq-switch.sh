# shellcheck shell=bash
# about: routed interrupts while the guest changes its legs, a processor of the host goes away, and gangwayd is killed on the emulated leg
# needs: gangway
# limit: 400
. /share/lab/lib/all.sh
mac=52:54:00:aa:00:01 addr=10.9.0.11

show() { gw_field "$1" irq show vm1; }
# all CONDITION: there are vectors, and it is true of each
all() { [[ $(show "(.vectors | length > 0) and (.vectors | all($1))") == true ]]; }
in_place() { all '.state == "in-place"'; }
# effective CPU...: does the kernel say that the VF's interrupts arrive on these alone?
effective() {
	local irq
	for irq in $(show '.vectors[].irq'); do
		[[ " $* " == *" $(<"/proc/irq/$irq/effective_affinity_list") "* ]] || { echo "irq $irq: on $(<"/proc/irq/$irq/effective_affinity_list")"; return 1; }
	done
}
# The guest is paused meanwhile: the emulation breaks guests whose vCPUs are moved while they run.
pin() {
	local thread
	guest_qmp vm1 stop >/dev/null
	for thread in $(guest_qmp vm1 query-cpus-fast | jq 'sort_by(."cpu-index")[]."thread-id"'); do
		taskset -p -c "$1" "$thread"; shift
	done
	guest_qmp vm1 cont >/dev/null
}

printf '[irq]\nroute = yes\n' >/run/lab/with.conf
chmod 644 /run/lab/with.conf
wire_up
gangwayd_start --config /run/lab/with.conf
check "pf set: 2 VFs" gw pf set "$pf" vfs 2
pf_ready
GUEST_CPUS=2 GUEST_PIN=0,1 guest_start vm1
check "guest add" gw guest add vm1 --qmp "$(guest_qmp_path vm1)"
check "attach with an emulated leg" gw attach vm1 "$pf/vf0" --via vfio-pci --standby macvtap --mac "$mac"
pair_up vm1 "$addr"
check "each interrupt is where its vCPU is" wait_until 30 in_place

check "to emulated" gw switch vm1 emulated --wait 60
check "there is nothing to route" test "$(show '.vectors | length')" = 0
check "and nothing of it in the database" test "$(sqlite3 /var/lib/gangway/state.db 'SELECT count(irqs) FROM lease')" = 0
check "ping on the emulated leg" ping_guest "$addr"
gangwayd_kill
check "gangwayd was killed, and is back" gangwayd_start --config /run/lab/with.conf
check "the guest is where it was" wait_until 20 leg_is vm1 emulated
check "back to the VF" gw switch vm1 passthrough --wait 60
check "each interrupt is where its vCPU is again" wait_until 30 in_place
check "ping on the VF" ping_guest "$addr"

# A processor of the host goes: its vCPU goes on on the other, and so do the interrupts.
pin 0 1
echo 0 >/sys/devices/system/cpu/cpu1/online
check "a processor of the host is off: interrupts are on the other" wait_until 30 eval 'in_place && effective 0'
check "ping with one processor" ping_guest "$addr"
echo 1 >/sys/devices/system/cpu/cpu1/online
pin 1 1
check "it is on again, and both vCPUs are there: the interrupts follow" wait_until 30 eval 'in_place && effective 1'
check "ping" ping_guest "$addr"
check "detach" gw detach vm1
check "no lease is left" no_lease vm1
figure "irq-switch: legs changed, a processor off and on, with interrupts routed"
