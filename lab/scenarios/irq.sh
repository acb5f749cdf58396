# shellcheck shell=bash
# about: interrupts of a VF arrive where the vCPU runs that they are for: the guest moves one, a vCPU is moved, all is given back
# needs: gangway
# limit: 1200
# Arguments: the number of rounds of measurements (2; 0: none), seconds of each (5)
. /share/lab/lib/all.sh
rounds=${1:-2} seconds=${2:-5} addr=10.9.0.11

# show FILTER: a value of what gangway knows of vm1's interrupts
show() { gw_field "$1" irq show vm1; }
# all VECTOR-CONDITION: there are vectors, and it is true of each
all() { [[ $(show "(.vectors | length > 0) and (.vectors | all($1))") == true ]]; }
in_place() { all '.state == "in-place"'; }
# What the kernel says: is each interrupt where its vCPU's thread may run alone?
arrives() {
	local irq thread
	while read -r irq thread; do
		[[ $(<"/proc/irq/$irq/effective_affinity_list") == "$(sed -n 's/^Cpus_allowed_list:\t//p' "/proc/$thread/status")" ]] ||
			{ echo "irq $irq: on $(<"/proc/irq/$irq/effective_affinity_list"), thread $thread not"; return 1; }
	done < <(show '.vectors[] | "\(.irq) \(.thread)"')
}
affinities() { show '.vectors[] | "\(.irq) \(.affinity)"'; }
# pin CPU...: vCPU 0 to the first, vCPU 1 to the second. The guest is paused meanwhile: the emulation breaks guests whose vCPUs are moved while they run.
pin() {
	local thread
	guest_qmp vm1 stop >/dev/null
	for thread in $(guest_qmp vm1 query-cpus-fast | jq 'sort_by(."cpu-index")[]."thread-id"'); do
		taskset -p -c "$1" "$thread"; shift
	done
	guest_qmp vm1 cont >/dev/null
}
# By the kernel's count: interrupts of the VF that have arrived, and on the CPU that their vCPU is pinned to.
counted() {
	local irq thread
	while read -r irq thread; do
		awk -v at="$(sed -n 's/^Cpus_allowed_list:\t//p' "/proc/$thread/status")" -F, '{ for (i = 1; i <= NF; i++) all += $i; print all, $(at + 1) }' "/sys/kernel/irq/$irq/per_cpu_count"
	done < <(show '.vectors[] | "\(.irq) \(.thread)"') | awk '{ all += $1; there += $2 } END { print all + 0, there + 0 }'
}
# What is given back stays where it was sent last, for as long as that is allowed: bring it to where the host had it ($chosen).
as_the_host_chose() {
	local irq cpu
	while read -r irq cpu; do
		echo "$cpu" >"/proc/irq/$irq/smp_affinity_list"
		echo 0-1 >"/proc/irq/$irq/smp_affinity_list"
	done <<<"$chosen"
	wait_until 10 eval '[[ $(effective) == "$chosen" ]]'
}
effective() { show '.vectors[].irq' | while read -r irq; do echo "$irq $(<"/proc/irq/$irq/effective_affinity_list")"; done; }
ipis() { awk '$1 == "RES:" || $1 == "CAL:" { for (i = 2; $i ~ /^[0-9]+$/; i++) sum += $i } END { print sum + 0 }' /proc/interrupts; }
# measure NAME VIA: one request at a time by TCP from the wire, for so many seconds; adds to ${NAME}_all and _there, a line to /run/lab/NAME.VIA.trips and .ipis
measure() {
	local name=$1 all there all_before there_before ipis_before ipis_after trips rate
	read -r all_before there_before < <(counted)
	ipis_before=$(ipis)
	# a guest that does not answer to this may not answer at all: then that is written down (guest_autopsy)
	read -r trips rate < <(wire /share/tcprr ask "$addr" 7000 "$seconds") || { guest_run vm1 'cat /proc/uptime /proc/interrupts'; return 1; }
	ipis_after=$(ipis)
	read -r all there < <(counted)
	printf -v "${name}_all" %d $((${name}_all + all - all_before))
	printf -v "${name}_there" %d $((${name}_there + there - there_before))
	echo "$rate" >>"/run/lab/$name.$2.trips"
	awk -v i="$((ipis_after - ipis_before))" -v t="$trips" 'BEGIN { printf "%.3f\n", t ? i / t : 0 }' >>"/run/lab/$name.$2.ipis"
	diag "$2, $name: $((all - all_before)) interrupts, $((there - there_before)) on their vCPU's CPU; $rate round trips a second; $((ipis_after - ipis_before)) IPIs"
}
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.3f", b ? a / b : 0 }'; }
median() { sort -n "$1" | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }
with_all=0 with_there=0 without_all=0 without_there=0
routing() { gangwayd_stop; gangwayd_start --config "/run/lab/$1.conf"; wait_until 10 eval '[[ $(lease_field vm1 .confirmed) == true ]]' && wait_until 10 all '.vcpu != null'; }

wire_up
printf '[irq]\nroute = no\n' >/run/lab/without.conf
printf '[irq]\nroute = yes\n' >/run/lab/with.conf
chmod 644 /run/lab/*.conf
gangwayd_start --config /run/lab/without.conf
check "pf set: 7 VFs" gw pf set "$pf" vfs 7
pf_ready
GUEST_CPUS=2 GUEST_PIN=0,1 guest_start vm1
check "guest add" gw guest add vm1 --qmp "$(guest_qmp_path vm1)"
check "a guest without a VF has none" test "$(show '.vectors | length')" = 0
for via in vfio-pci vfio-user; do
	mark=$(guest_mark vm1)
	check "$via: attach" gw attach vm1 "$pf" --standby none --via "$via"
	interface=$(guest_vf_wait vm1 "$mark")
	check "$via: it has an address and a carrier" guest_address vm1 "$interface" "$addr/24"
	stream_start vm1 "$addr"
	check "$via: each vector's vCPU is known" wait_until 20 all '.vcpu != null and .thread != null and .ran_on != null'
	before=$(affinities) chosen=$(effective)
	gw irq show vm1
	check "$via: with routing" routing with
	check "$via: each interrupt is where its vCPU is" wait_until 20 in_place
	check "$via: the kernel says so, too" wait_until 10 arrives

	# the guest moves one of them to its other vCPU
	index=$(show '.vectors[0].index') vcpu=$(show '.vectors[0].vcpu')
	check "$via: the guest moves a vector" guest_run vm1 "irq=\$(ls /sys/class/net/$interface/device/msi_irqs | sort -n | sed -n $((index + 1))p); echo $((1 - vcpu)) >/proc/irq/\$irq/smp_affinity_list"
	check "$via: gangway sees it" wait_until 20 all "(.index == $index | not) or .vcpu == $((1 - vcpu))"
	check "$via: the host's interrupt follows" wait_until 20 arrives

	# vCPUs change places
	pin 1 0
	check "$via: vCPUs are moved, their interrupts follow" wait_until 20 arrives
	pin 0 1
	check "$via: and back" wait_until 20 arrives
	stream_stop vm1

	guest_run vm1 'tcprr serve 7000 </dev/null >/dev/null 2>&1 &'
	for ((i = 0; i < rounds * 2; i++)); do
		place="$((i % 2)) $((1 - i % 2))"
		# shellcheck disable=SC2086
		pin $place
		check "$via: round $i, vCPUs on $place: with routing" routing with
		check "$via: they are in place" wait_until 20 arrives
		measure with "$via"
		check "$via: round $i: without" routing without
		check "$via: all of it is given back" test "$(affinities)" = "$before"
		check "$via: interrupts are as the host has put them" as_the_host_chose
		measure without "$via"
	done
	if [[ $via == vfio-pci ]]; then
		pin 0 1
		check "with routing" routing with
		check "they are in place" wait_until 20 arrives
		gangwayd_kill
		check "gangwayd was killed, and the next one is to move nothing" gangwayd_start --config /run/lab/without.conf
		check "it gives all of it back" wait_until 10 eval '[[ $(affinities) == "$before" ]]'
		gangwayd_stop
		gangwayd_start --config /run/lab/with.conf
		check "detach" gw detach vm1
	else
		check "$via: the guest powers off" guest_poweroff vm1
		check "$via: the lease ends by itself" wait_until 20 no_lease vm1
	fi
	check "$via: nothing is left in the database" test "$(sqlite3 /var/lib/gangway/state.db 'SELECT count(*) FROM lease')" = 0
	gangwayd_stop
	gangwayd_start --config /run/lab/without.conf
done
guest_stop vm1

# What it costs: 7 VFs of 3 vectors, each with traffic, beside the bare reading of as many files; in percent of an emulated processor.
used_us() { awk '{ sum += $1 } END { printf "%d", sum / 1000 }' "/proc/$gangwayd_pid"/task/*/schedstat; }
# cost OF SECONDS: percent
cost() {
	local before; before=$(used_us)
	wire ping -q -i 0.2 -w "$1" "$addr" >/dev/null || true
	awk -v used="$(($(used_us) - before))" -v s="$1" 'BEGIN { printf "%.2f", used / s / 10000 }'
}
gangwayd_stop
gangwayd_start --config /run/lab/with.conf
GUEST_CPUS=2 GUEST_PIN=0,1 GUEST_PORTS=8 guest_start vm1

# The host's irqbalance, which looks every second, is told to leave them alone, and may have them again after that.
spared() { printf setup | socat -t 2 - "UNIX-CONNECT:$(echo /run/irqbalance/irqbalance*.sock)" | grep -o 'IRQ [0-9]*' | sed 's/IRQ //' | sort -n | paste -sd' '; }
mkdir -p /run/irqbalance
irqbalance --foreground --interval=1 --banirq=7 &
irqbalance=$!
check "irqbalance listens" wait_until 20 eval '[[ $(spared) == 7 ]]'
mark=$(guest_mark vm1)
check "attach beside irqbalance" gw attach vm1 "$pf/vf0" --standby none --via vfio-pci
check "it has an address and a carrier" guest_address vm1 "$(guest_vf_wait vm1 "$mark")" "$addr/24"
pin 1 0
check "each interrupt is where its vCPU is" wait_until 30 arrives
pin 0 1
check "vCPUs are moved, their interrupts follow" wait_until 30 arrives
check "irqbalance is told which to leave alone" wait_until 40 eval '[[ $(spared) == "7 $(show ".vectors[].irq" | sort -n | paste -sd" ")" ]]'
ping_before=$(show '.nics[0].moved')
wire ping -q -i 0.005 -w 10 "$addr" >/dev/null || true
check "and does: nothing had to be moved again" test "$(show '.nics[0].moved')" = "$ping_before"
check "detach" gw detach vm1
check "irqbalance may have them again" wait_until 10 eval '[[ $(spared) == 7 ]]'
kill "$irqbalance"
wait "$irqbalance" || true
rm -rf /run/irqbalance
for i in 0 1 2 3 4 5 6; do
	mark=$(guest_mark vm1)
	check "VF $i: attach" gw attach vm1 "$pf/vf$i" --standby none --via vfio-pci --nic "nic$i"
	interface=$(guest_vf_wait vm1 "$mark")
	check "VF $i: it has an address and a carrier" guest_address vm1 "$interface" "10.9.0.$((11 + i))/24"
done
check "21 vectors are in place" wait_until 60 eval 'in_place && [[ $(show ".vectors | length") == 21 ]]'
cost_with=$(cost $((seconds * 6)))
bare=$(/usr/libexec/bench_irq | jq .percent_of_a_cpu)
check "21 vectors are still in place" eval 'in_place && [[ $(show ".vectors | length") == 21 ]]'
printf '[irq]\nfollow_ms = 0\n' >/run/lab/off.conf
gangwayd_stop
gangwayd_start --config /run/lab/off.conf
check "adopted" wait_until 20 eval '[[ $(lease_field vm1 .confirmed) == true ]]'
cost_without=$(cost $((seconds * 6)))
diag "gangwayd: $cost_with % of an emulated processor, $cost_without % without following; the bare reading of the files $bare %"
for i in 0 1 2 3 4 5 6; do check "VF $i: detach" gw detach vm1 "nic$i"; done
guest_stop vm1
if [[ $rounds -gt 0 ]]; then
	share=$(ratio "$with_there" "$with_all") share_without=$(ratio "$without_there" "$without_all")
	check "of the interrupts 95 in 100 arrive on their vCPU's CPU" awk -v s="$share" 'BEGIN { exit !(s >= 0.95) }'
	figure "irq: share of interrupts on their vCPU's CPU $share (0.95), without routing $share_without"
	for via in vfio-pci vfio-user; do
		with=$(median "/run/lab/with.$via.trips") without=$(median "/run/lab/without.$via.trips")
		figure "$via: one request at a time by TCP, a second, with/without $(ratio "$with" "$without") (medians $with/$without)," \
			"rescheduling and call IPIs for each $(median "/run/lab/with.$via.ipis"), without $(median "/run/lab/without.$via.ipis")"
	done
fi
figure "gangwayd for 7 VFs of 3 vectors $cost_with % of an emulated processor, $cost_without % without following, the bare reading $bare %"
