# shellcheck shell=bash
# about: guests that together want more memory than the host has: with adaptive all live, on their VFs whenever there is room; with pin the last is refused
# needs: gangway
# limit: 1800
# Arguments: the number of guests (3)
. /share/lab/lib/all.sh
nr=${1:-3}
export GUEST_HUGE=0 GUEST_BOOT_LIMIT=120

conf=/run/lab/pressure.conf
cat >$conf <<-END
	[irq]
	route = no
	[memory]
	low_mib = 200
	high_mib = 320
	margin_mib = 128
	calm_ms = 5000
	poll_ms = 500
	[switch]
	return_delay_ms = 1000
END
chmod 644 $conf

available() { awk '/^MemAvailable:/ { print int($2 / 1024) }' /proc/meminfo; }
leg_of() { lease_field "$1" .leg; }
on_vf() { local i n=0; for ((i = 1; i <= nr; i++)); do [[ $(leg_of "vm$i") != passthrough ]] || n=$((n + 1)); done; echo "$n"; }
fewer_than() { [[ $(on_vf) -lt $1 ]]; }
as_many_as() { [[ $(on_vf) -ge $1 ]]; }
is_up() { [[ $(gw_field .guest.state guest show "$1") == up ]]; }
addr_of() { echo "10.9.0.1$1"; }
all_reached() { local i; for ((i = 1; i <= nr; i++)); do ping_guest "$(addr_of "$i")" || { echo "vm$i is not reached"; return 1; }; done; }
switches() { grep -c 'switch: .* -> to-emulated' "$lab_log/gangwayd.log" || true; }

# What is not pinned is to be swapped: into a file where the root is a disk, else into compressed memory.
swap_up() {
	{ dd if=/dev/zero of=/var/lab.swap bs=1M count=1536 && chmod 600 /var/lab.swap && mkswap /var/lab.swap && swapon /var/lab.swap; } 2>/dev/null && return
	rm -f /var/lab.swap
	modprobe zram && echo 1536M >/sys/block/zram0/disksize && mkswap /dev/zram0 && swapon /dev/zram0
}
swap_up >/dev/null 2>&1 || diag "no swap: what leaves its VF gives nothing back"
echo 0 >/proc/sys/vm/nr_hugepages # those kept for other scenarios
mem=$(($(available) * 3 / 2 / nr / 2 * 2)) # their sum is 1.5 times what there is
export GUEST_MEM=${mem}M
diag "$(available) MiB available, $nr guests of $mem MiB"
head -c 1 /proc/pressure/memory >/dev/null 2>&1 || diag "no pressure stall information: by what is available alone"

wire_up
gangwayd_start --config $conf
check "pf set: $nr VFs" gw pf set "$pf" vfs "$nr"
pf_ready
host_snapshot /run/lab/before
for ((i = 1; i <= nr; i++)); do
	guest_start "vm$i"
	check "guest add vm$i" gw guest add "vm$i" --qmp "$(guest_qmp_path "vm$i")"
done

# pin: who comes too late is refused, and nothing happens to the others
refused=0
for ((i = 1; i <= nr; i++)); do
	gw attach "vm$i" "$pf" --via vfio-pci --standby none >/dev/null 2>&1 || refused=$((refused + 1))
done
check "pin: not all of them can have a VF" test $refused -gt 0
for ((i = 1; i <= nr; i++)); do gw detach "vm$i" >/dev/null 2>&1 || true; done
check "no lease is left" test "$(leases)" -eq 0

# What was pinned is touched now, and stays with the VMMs: guests that begin anew have not.
for ((i = 1; i <= nr; i++)); do
	guest_stop "vm$i"
	guest_start "vm$i"
	check "vm$i is known to be there" wait_until 20 is_up "vm$i"
done

# adaptive: each begins where there is room for it
for ((i = 1; i <= nr; i++)); do
	check "adaptive: attach vm$i" gw attach "vm$i" "$pf" --via vfio-pci --standby macvtap --memory adaptive --priority "$i" \
		--mac "52:54:00:aa:00:0$i"
	check "its interface is there" wait_until 30 guest_run "vm$i" 'ls /sys/class/net | grep -v lo'
	pair=$(guest_pair "vm$i" || guest_run "vm$i" 'ls /sys/class/net | grep -v lo | head -n 1')
	check "vm$i has an address" guest_address "vm$i" "$pair" "$(addr_of "$i")/24"
done
diag "on their VFs: $(on_vf) of $nr; $(available) MiB available"
check "all are reached" all_reached
check "all live" test "$(pgrep -c -f 'qemu-system-x86_64 -name vm')" -ge "$nr"

# false switches: nothing happens, nothing moves
before=$(switches)
sleep 60 # that nothing happens has no event
check "none moves in an idle minute" test "$(switches)" -eq "$before"

# pressure by somebody else, a tenth of the time, as long as somebody is on a VF
if [[ $(on_vf) -gt 0 ]]; then
	had=$(on_vf) samples=0 with=0 times=()
	for round in 1 2 3; do
		eat=$(($(available) - 150)) had=$(on_vf)
		[[ $eat -gt 0 && $had -gt 0 ]] || break
		began=$EPOCHREALTIME
		mount -t tmpfs -o "size=${eat}m" none /mnt
		dd if=/dev/zero of=/mnt/eaten bs=1M count="$eat" 2>/dev/null || true
		check "$round: one leaves its VF" wait_until 60 fewer_than "$had"
		times+=("$(awk -v a="$began" -v b="$EPOCHREALTIME" 'BEGIN { printf "%d", (b - a) * 1000 }')")
		check "$round: all are reached" all_reached
		umount /mnt
		for ((s = 0; s < 60; s++)); do
			samples=$((samples + had)) with=$((with + $(on_vf)))
			sleep 1 # a sample a second
		done
		check "$round: as many are on their VFs as before" wait_until 60 as_many_as "$had"
	done
	unpinned=$(gw_field '[.daemon.memory.guests[]? | select(.left_ms > 0) | .left_ms] | max // 0' status)
	figure "overcommit 1.5: $nr alive, $had on VFs; from order to unpinned at most $unpinned ms, eaten to seen ${times[*]} ms; on the VF $((samples ? with * 100 / samples : 0)) % of the time; $refused refused with pin"
else
	not_ok "somebody is on a VF" "there is room for none"
fi

# it has to end well while one is away, too
for ((i = 1; i <= nr; i++)); do
	check "detach vm$i" wait_until 60 gw detach "vm$i" # one that comes back to its VF just now is busy
	guest_stop "vm$i"
	check "guest remove vm$i" gw guest remove "vm$i"
done
check "the host is unchanged" host_diff /run/lab/before
