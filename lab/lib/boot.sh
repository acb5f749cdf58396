# shellcheck shell=bash
# Boots the emulated host. Runs on the build machine, for lab/run and lab/shell.
#   CPUS, MEM   processors (2) and memory (4G) of the emulated host
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

# lab_prepare NAME: image, a fresh share and a fresh log folder
lab_prepare() {
	lab_image=$(LABDIR=$lab_build "$lab_here/image") || exit 1
	lab_share=$lab_build/share
	lab_log=$lab_build/log/$1
	rm -rf "$lab_share" "$lab_log"
	mkdir -p "$lab_share/lab" "$lab_log"
	cp -r "$lab_here/lib" "$lab_here/scenarios" "$lab_share/lab/"
	cp "$lab_image/udpstream" "$lab_image/guest.initrd" "$lab_image/tree/vmlinuz" "$lab_share/"
}

# lab_extra WORD...: QEMU arguments of what a scenario's "# host:" line asks for
lab_extra() {
	local word
	for word; do
		case $word in
		no-iommu) ;;
		# a second PF behind a switch, whose ports have no ACS: its functions share one IOMMU group
		no-acs) printf '%s\n' -device pcie-root-port,id=up,chassis=9,slot=9 -device x3130-upstream,id=switch,bus=up \
			-device xio3130-downstream,id=noacs,bus=switch,chassis=10,slot=10 \
			-netdev hubport,id=h2,hubid=1 -device igb,bus=noacs,netdev=h2,mac=52:54:00:00:00:30 ;;
		*) die "unknown word in a '# host:' line: $word" ;;
		esac
	done
}

# lab_qemu CONSOLE-ARGS... -- WORD...: become the emulated host. QEMU is the tree's own, started with the tree's loader and
# libraries, so that the build machine needs none and no chroot.
lab_qemu() {
	local root=$lab_image/tree/root console=() append iommu extra
	while [[ $1 != -- ]]; do console+=("$1"); shift; done
	shift
	mapfile -t extra < <(lab_extra "$@")
	# huge pages for the guests' memory: see guest_args
	append="hugepages=${HUGEPAGES:-640} console=ttyS0 quiet panic=-1 net.ifnames=0 intel_iommu=on"
	# shellcheck disable=SC2054
	iommu=(-device intel-iommu,intremap=on,caching-mode=on)
	if [[ " $* " == *" no-iommu "* ]]; then
		iommu=()
		append=${append/intel_iommu=on/}
	fi
	export QEMU_MODULE_DIR=$root/usr/lib/x86_64-linux-gnu/qemu
	exec "$root/usr/lib64/ld-linux-x86-64.so.2" --library-path "$root/usr/lib/x86_64-linux-gnu" \
		"$root/usr/bin/qemu-system-x86_64" -L "$root/usr/share/seabios" -L "$root/usr/share/qemu" \
		-name gangway-lab -accel tcg,thread=multi -cpu max -smp "${CPUS:-2}" -m "${MEM:-4G}" \
		-machine q35,kernel-irqchip=split -nodefaults -display none -no-reboot \
		-kernel "$lab_image/tree/vmlinuz" -initrd "$lab_image/host.initrd" -append "$append" \
		-drive "file=$lab_image/tree/host.img,if=virtio,format=raw,snapshot=on" "${iommu[@]}" \
		-netdev hubport,id=h0,hubid=0 -device igb,id=pf0,netdev=h0,mac=52:54:00:00:00:10 \
		-netdev hubport,id=h1,hubid=0 -device virtio-net-pci,netdev=h1,mac=52:54:00:00:00:20,rx_queue_size=1024 \
		-virtfs "local,path=$lab_share,mount_tag=share,security_model=none" \
		-virtfs "local,path=$lab_log,mount_tag=log,security_model=none" \
		-device virtio-serial-pci "${extra[@]}" "${console[@]}"
}
