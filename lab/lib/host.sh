# shellcheck shell=bash
# The emulated host: its PF, VFs and interrupts, and whether it is as it was.
#   pf=eth0 (the PF), pf_bdf
#   vfs_enable N; vf_bdf INDEX; vf_name INDEX (its interface on the host, if any)
#   driver_of BDF; bind_vfio BDF; bind_back BDF DRIVER
#   msix_count BDF        interrupts that VFIO has delivered for the device, all vectors
#   host_snapshot FILE; host_diff FILE      write what the host is like; succeed if it is still so, else print what differs
#   dmar_faults           number of faults the IOMMU has reported since the host booted, as far as the kernel logged them
#   dmar_fault_list       the DMA faults among them, each as ACCESS (Read or Write), BDF and address of the page

pf=eth0
pf_bdf() { basename "$(readlink -f "/sys/class/net/$pf/device")"; }
vf_bdf() { basename "$(readlink -f "/sys/class/net/$pf/device/virtfn$1")"; }
vf_name() { (cd "/sys/class/net/$pf/device/virtfn$1/net" 2>/dev/null && ls); }
driver_of() { local d; d=$(readlink "/sys/bus/pci/devices/$1/driver") && basename "$d" || echo none; }

vfs_enable() {
	pf_ready
	echo 0 >"/sys/class/net/$pf/device/sriov_numvfs"
	[[ $1 -eq 0 ]] || echo "$1" >"/sys/class/net/$pf/device/sriov_numvfs"
	udevadm settle --timeout=20
	pf_ready
}
# igb resets itself when VFs come or go, and again if it has something to send before its link is back. A VF's driver that
# starts meanwhile finds nobody in the mailbox.
pf_ready() { wait_until 20 grep -qx 1 "/sys/class/net/$pf/carrier"; }
rebind() {
	local d=/sys/bus/pci/devices/$1
	echo "$2" >"$d/driver_override"
	[[ ! -e $d/driver ]] || echo "$1" >"$d/driver/unbind"
	echo "$1" >/sys/bus/pci/drivers_probe
}
bind_vfio() { rebind "$1" vfio-pci; }
# An override of "\n" clears it; the device then gets the driver that matches.
bind_back() { rebind "$1" ''; [[ $(driver_of "$1") == "$2" ]] && udevadm settle --timeout=20; }

msix_count() {
	awk -v dev="($1)" 'index($0, "vfio-msix[") && index($0, dev) { for (i = 2; $i ~ /^[0-9]+$/; i++) sum += $i } END { print sum + 0 }' /proc/interrupts
}
dmar_faults() { dmesg | grep -c 'DMAR: \[' || true; }
dmar_fault_list() {
	dmesg | sed -nE 's/.*DMAR: \[DMA (Read|Write)[^]]*\] Request device \[([0-9a-f:.]+)\] fault addr (0x[0-9a-f]+) .*/\1 0000:\2 \3/p'
}

# Sections of the snapshot, one fact a line. What changes by itself is left out or made constant: a random MAC of a VF's
# own driver (a new one at each bind), interface indices, process ids, kernel threads, udev's database.
snapshot_pci() {
	find /sys/bus/pci/devices/*/driver -maxdepth 0 -printf 'pci %p %l\n'
	grep -H . /sys/bus/pci/devices/*/{driver_override,sriov_numvfs,sriov_drivers_autoprobe,reset_method} 2>/dev/null | sed 's/^/pci /' || true # not each has each
}
snapshot_links() {
	local random
	# an address that a driver made up says so by its kind, 1
	random=$({ grep -lx 1 /sys/class/net/*/addr_assign_type || true; } | sed 's/addr_assign_type/address/' | xargs -r cat | jq -Rnc '[inputs]')
	ip -j -d link show | jq -r --argjson random "$random" '.[]
		| def mac: if IN($random[]) then "random" else . end;
		"link \(.ifname) \(.address | mac) mtu \(.mtu) \(.flags | sort - ["LOWER_UP"] | join(",")) master \(.master // "-")",
		(.ifname as $n | .vfinfo_list // [] | .[] | .address |= mac | "\($n) vf \(tojson)")'
	ip -j address show | jq -r '.[] | .ifname as $n | .addr_info[] | select(.scope != "link") | "address \($n) \(.local)/\(.prefixlen)"'
	ip -4 route show table all | sed 's/^/route /'
	bridge fdb show | sed 's/^/fdb /'
	ip maddress show | awk '/^[0-9]/ { i = $2 } $1 == "link" { print "multicast", i, $2, $4 }'
	ip netns list | sed 's/^/netns /'
}
snapshot_vfio() {
	find /dev/vfio -printf 'dev %p %y %M %U:%G\n'
	find /sys/class/vfio /sys/class/vfio-dev -mindepth 1 -printf 'class %p\n' 2>/dev/null || true
}
snapshot_files() {
	cut -d' ' -f4- /proc/self/mountinfo | sed 's/^/mount /'
	find /run /tmp /dev/shm /dev/hugepages \( -path /run/udev -o -path /run/lab \) -prune -o -printf 'file %p %y %M %U:%G\n' 2>/dev/null || true
	cut -f1 -d' ' /proc/modules | sed -n 's/^vfio.*/module &/p'
	grep -H . /proc/sys/vm/nr_hugepages /sys/module/vfio_iommu_type1/parameters/* | sed 's/^/setting /' || true
}
# One line per kind of process with how much it has locked; one that ends meanwhile has none. The keepers of guests, and what runs the snapshot, are ours.
snapshot_processes() {
	{ cat /proc/[0-9]*/status 2>/dev/null || true; } | awk '$1 == "Name:" { name = $2 } $1 == "VmLck:" { print "process", name, "locked", $2, $3 }' |
		grep -vE '^process (bash|awk|grep|cat|sort|uniq|sed|tee|udevadm|python3|socat|tail|[(]udev-worker[)]) ' | sort | uniq -c | sed 's/^ *//'
}
host_snapshot() {
	udevadm settle --timeout=20
	{ snapshot_pci; snapshot_links; snapshot_vfio; snapshot_files; snapshot_processes; echo "dmar faults $(dmar_faults)"; } | sort >"$1"
}
host_diff() {
	host_snapshot "$1.now"
	diff -U0 "$1" "$1.now" | sed -n '/^[-+][^-+]/p' && [[ ${PIPESTATUS[0]} -eq 0 ]]
}
