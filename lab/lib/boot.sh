# shellcheck shell=bash
# Boots the emulated host. Runs on the build machine, for lab/run and lab/shell.
#   CPUS, MEM   processors (2) and memory (4G) of the emulated host; where there are two of them, of each (2 and 3G)
#   HUGEPAGES   2 MiB pages kept for the guests' memory (640)
#   LIMIT       seconds after which it is ended (300; lab/shell has none)
#   LABDIR      where images and logs are (build/lab)

lab_here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
lab_top=$(cd "$lab_here/.." && pwd)
lab_build=${LABDIR:-$lab_top/build/lab}
mkdir -p "$lab_build/log"
lab_build=$(cd "$lab_build" && pwd)

say() { echo "lab: $*" >&2; }
die() { say "$*"; exit 1; }

# One emulated host at a time on a machine: two would only slow each other beyond their time limits.
lab_lock() {
	local dir=/run/lock
	[[ -w $dir ]] || dir=/tmp
	exec 9>"$dir/gangway-lab.lock"
	flock -n 9 || { say "waiting for another emulated host on this machine to end"; flock 9; }
}

# header FILE KEY: the value of a "# KEY: value" line at the top of a scenario
header() { sed -n "s/^# $2: *//p" "$1" | sed -n 1p; }

# gangway as it is in this tree, installed into the share; status 1 if the tree cannot build it (yet)
lab_stage() {
	[[ -e $lab_top/Makefile ]] && grep -q '^install:' "$lab_top/Makefile" || return 1
	if ! env -u MAKEFLAGS -u MAKELEVEL make -C "$lab_top" -s lab-stage DESTDIR="$lab_share/stage" >"$lab_log/install" 2>&1; then
		tail -n 20 "$lab_log/install" >&2
		die "gangway does not build; the whole output is ${lab_log#"$PWD"/}/install"
	fi
}

# lab_prepare NAME [HOSTS]: image, a fresh share and a fresh log folder; of two hosts each has its own in it, a and b
lab_prepare() {
	lab_hosts=${2:-1}
	lab_image=$(LABDIR=$lab_build "$lab_here/image") || exit 1
	lab_share=$lab_build/share
	lab_log=$lab_build/log/$1
	rm -rf "$lab_share" "$lab_log"
	mkdir -p "$lab_share/lab" "$lab_log"
	[[ $lab_hosts -eq 1 ]] || mkdir "$lab_log/a" "$lab_log/b"
	cp -r "$lab_here/lib" "$lab_here/scenarios" "$lab_share/lab/"
	cp "$lab_image/udpstream" "$lab_image/frames" "$lab_image/tcprr" "$lab_image/guest.initrd" "$lab_image/tree/vmlinuz" "$lab_share/"
}

# lab_extra HOST WORD...: QEMU arguments of what a scenario's "# host:" line asks for
lab_extra() {
	local host=$1 word i; shift
	for word; do
		case $word in
		no-iommu) ;;
		# a second PF behind a switch, whose ports have no ACS: its functions share one IOMMU group
		no-acs) printf '%s\n' -device pcie-root-port,id=up,chassis=9,slot=9 -device x3130-upstream,id=switch,bus=up \
			-device xio3130-downstream,id=noacs,bus=switch,chassis=10,slot=10 \
			-netdev hubport,id=h2,hubid=1 -device igb,bus=noacs,netdev=h2,mac=52:54:00:00:00:30 ;;
		# on b, a PF of another make, with two VFs; each function is a port of the switch. The VFs come before their PF.
		virtio-pf)
			[[ $host == b ]] || continue
			printf '%s\n' -device pcie-root-port,id=other,chassis=8,slot=8
			for i in 2 1 0; do
				printf '%s\n' -netdev "stream,server=off,addr.type=unix,addr.path=$lab_share/switch,id=o$i" \
					-device "virtio-net-pci,bus=other,addr=0.$i,netdev=o$i,mac=52:54:00:00:00:4$i,iommu_platform=on,$([[ $i == 0 ]] && echo id=other0 || echo sriov-pf=other0)"
			done ;;
		*) die "unknown word in a '# host:' line: $word" ;;
		esac
	done
}

# lab_net HOST: QEMU arguments of the host's NICs: the PF and, on a, the wire. One host has a hub in between, two of them the switch that
# lab_switch has started. b has no wire of its own: that of a is its, too.
lab_net() {
	local port=hubport,hubid=0 pf=52:54:00:00:00:10
	[[ $lab_hosts -eq 1 ]] || port=stream,server=off,addr.type=unix,addr.path=$lab_share/switch
	[[ $1 == a ]] || pf=52:54:00:00:00:11
	printf '%s\n' -netdev "$port,id=h0" -device "igb,id=pf0,netdev=h0,mac=$pf"
	[[ $1 == b ]] ||
		printf '%s\n' -netdev "$port,id=h1" -device "virtio-net-pci,netdev=h1,mac=52:54:00:00:00:20,rx_queue_size=1024"
}
# lab_peer HOST: a serial line between two hosts, for commands (lib/peer.sh)
lab_peer() {
	local at=server=on,wait=off
	[[ $1 == a ]] || at=server=off,reconnect-ms=100
	[[ $lab_hosts -eq 1 ]] ||
		printf '%s\n' -chardev "socket,id=peer,path=$lab_share/peer,$at" -device virtserialport,chardev=peer,name=peer
}

# lab_autopsy HOST: where its processors stand, twice, from QEMU's monitor. It has three seconds: QEMU itself may be what stands still.
lab_autopsy() {
	local in out i line
	exec {in}<>"$lab_share/monitor.$1.in" {out}<>"$lab_share/monitor.$1.out"
	for i in 1 2; do
		echo "where it stands, $i:"
		printf 'info cpus\ninfo registers -a\n' >&"$in"
		while IFS= read -r -t 1.5 -u "$out" line; do printf '%s\n' "$line"; done
	done | tr -d '\r' | grep -v '^(qemu)'
	exec {in}<&- {out}<&-
}

# lab_switch: become the switch between two hosts
lab_switch() { exec "$lab_image/netswitch" "$lab_share/switch"; }

# lab_qemu HOST CONSOLE-ARGS... -- WORD...: become the emulated host, a or b. QEMU is the tree's own, started with the tree's loader
# and libraries, so that the build machine needs none and no chroot.
lab_qemu() {
	local host=$1 root=$lab_image/tree/root console=() append iommu extra net log=$lab_log cpus=2 mem=4G qemu; shift
	while [[ $1 != -- ]]; do console+=("$1"); shift; done
	shift
	mapfile -t extra < <(lab_extra "$host" "$@"; lab_peer "$host")
	mapfile -t net < <(lab_net "$host")
	[[ $lab_hosts -eq 1 ]] || log=$lab_log/$host mem=3G
	# huge pages for the guests' memory: see guest_args
	# The kernel's test of its timer takes an emulated processor that has to wait for a real one for a broken interrupt controller. It hands
	# LAB_HOST to the first process.
	# nokaslr: an address in host.cpu means something.
	append="hugepages=${HUGEPAGES:-640} console=ttyS0 quiet panic=-1 net.ifnames=0 intel_iommu=on no_timer_check nokaslr LAB_HOST=$host"
	mkfifo "$lab_share/monitor.$host".{in,out}
	# shellcheck disable=SC2054
	iommu=(-device intel-iommu,intremap=on,caching-mode=on)
	if [[ " $* " == *" no-iommu "* ]]; then
		iommu=()
		append=${append/intel_iommu=on/}
	fi
	qemu=$root/usr/bin/qemu-system-x86_64
	# its VMRUN delivers an interrupt once (lab/README.md, "Pitfalls")
	[[ ! -e $lab_image/qemu-once ]] || qemu=$lab_image/qemu-once
	export QEMU_MODULE_DIR=$root/usr/lib/x86_64-linux-gnu/qemu
	exec "$root/usr/lib64/ld-linux-x86-64.so.2" --library-path "$root/usr/lib/x86_64-linux-gnu" \
		"$qemu" -L "$root/usr/share/seabios" -L "$root/usr/share/qemu" \
		-name gangway-lab -d cpu_reset -D "$log/host.cpu" -chardev "pipe,id=mon,path=$lab_share/monitor.$host" -monitor chardev:mon -accel tcg,thread=multi -cpu max -smp "${CPUS:-$cpus}" -m "${MEM:-$mem}" \
		-machine q35,kernel-irqchip=split -nodefaults -display none -no-reboot \
		-kernel "$lab_image/tree/vmlinuz" -initrd "$lab_image/host.initrd" -append "$append" \
		-drive "file=$lab_image/tree/host.img,if=virtio,format=raw,snapshot=on" "${iommu[@]}" \
		"${net[@]}" \
		-virtfs "local,path=$lab_share,mount_tag=share,security_model=none" \
		-virtfs "local,path=$log,mount_tag=log,security_model=none" \
		-device virtio-serial-pci "${extra[@]}" "${console[@]}"
}
