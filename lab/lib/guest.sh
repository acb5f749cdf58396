# shellcheck shell=bash
# Guests of the emulated host. Each has a keeper (guestd.py) that answers on /run/lab/NAME/keeper.
#   guest_start NAME [QEMU-ARG...]    start it and wait until it is up; a boot that fails is tried again, twice
#   guest_incoming NAME [QEMU-ARG...] the same command line, but it waits for a migration (-incoming defer)
#   guest_stop NAME                   end it     guest_poweroff NAME   let it shut itself down, wait until it has
#   guest_run NAME COMMAND [SECONDS]  run COMMAND in the guest's shell; its output and exit status are ours
#   guest_spawn NAME TAG COMMAND; guest_reap NAME TAG [SECONDS]   begin COMMAND there; wait for its end, then as guest_run. The guest may
#                                     have moved to another host meanwhile: guest_reap is to be called where it is
#   guest_qmp NAME EXECUTE [KEY=VALUE... | JSON]   print the answer's value as JSON
#   guest_mark NAME; guest_wait NAME EVENT [MATCH-JSON [SECONDS [SINCE]]]   print the event
#   guest_vf_wait NAME SINCE [SECONDS]   name of the interface that igbvf has brought
#   guest_pair NAME                   name of the interface that net_failover has made of the VF and the standby
#   guest_address NAME IF ADDR/LEN     give the interface an address and wait for its carrier
# For a guest: GUEST_MEM (512M), GUEST_HUGE=0 (4 KiB pages), GUEST_CPUS, GUEST_PORTS (hotplug slots), GUEST_SHARE=off (private memory), GUEST_BACKEND (an -object
# with id=mem in its place), GUEST_STANDBY=1
# (a virtio-net with failover=on, id net0, MAC GUEST_MAC, on a tap named as GUEST_TAP), GUEST_USER (run QEMU as that user),
# GUEST_FDS (descriptors of ours that QEMU inherits), GUEST_PIN (the host's processor that its vCPUs stay on; or several, 0,1: one for each).

guest_dir() { echo "/run/lab/$1"; }
guest_qmp_path() { echo "/run/lab/$1/qmp"; }

# keeper_call NAME JQ-ARGS...: build the request with jq, print the answer; status 0 if it is ok
keeper_call() {
	local name=$1; shift
	/usr/bin/python3 -ISE "$lab_lib/guestd.py" call "$(guest_dir "$name")/keeper" "$(jq -nc "$@")"
}
# value: the value of an answer on stdin; of a refusal the error, on stderr, and failure
value() { jq -er 'if .ok then (.value | if type == "string" then . else tojson end) else error(.error) end'; }

guest_qmp() {
	local name=$1 execute=$2 json='{}' pair v; shift 2
	if [[ ${1-} == '{'* ]]; then json=$1; else
		for pair; do
			v=${pair#*=}
			[[ $v =~ ^(true|false|[0-9]+)$ ]] || v=$(jq -nc --arg v "$v" '$v')
			json=$(jq -c --arg k "${pair%%=*}" --argjson v "$v" '.[$k] = $v' <<<"$json")
		done
	fi
	keeper_call "$name" --arg e "$execute" --argjson a "$json" '{op: "qmp", execute: $e, arguments: $a}' | value
}
guest_run() {
	local answer
	answer=$(keeper_call "$1" --arg c "$2" --argjson t "${3:-30}" '{op: "run", command: $c, timeout: $t}') || true
	if [[ $(jq -r .ok <<<"$answer") != true ]]; then
		jq -r .error <<<"$answer" >&2
		[[ ${autopsy:-yes} == no ]] || guest_autopsy "$1" >>"$lab_log/$1.autopsy" 2>&1
		return 125
	fi
	jq -rj .value.output <<<"$answer"
	return "$(jq -r .value.status <<<"$answer")"
}
# The result waits in a fifo for whoever asks.
guest_spawn() {
	guest_run "$1" "rm -f /run/spawn.$2; mkfifo /run/spawn.$2
		{ out=\$($3 2>&1); echo \"\$? \$out\" >/run/spawn.$2; } </dev/null >/dev/null 2>&1 &"
}
guest_reap() {
	local out
	out=$(guest_run "$1" "cat /run/spawn.$2; rm /run/spawn.$2" "${3:-30}") || return
	printf '%s\n' "${out#* }"
	return "${out%% *}"
}
# A guest that does not answer: does its processor still run, and where, and what do the threads of its QEMU do?
guest_autopsy() {
	local i
	date
	echo "does it answer?"
	autopsy=no guest_run "$1" 'cat /proc/uptime; ps; ls -l /sys/bus/pci/devices /sys/class/net; dmesg | tail -n 30' 5 || true
	for i in 1 2 3; do
		guest_qmp "$1" human-monitor-command command-line='info registers' | tr -d '\r' | sed 's/\\r\\n/\n/g' | grep -E 'RIP|HLT|CPU#' || true
	done
	for i in 1 2; do
		echo "exits, round $i"
		grep . /sys/kernel/debug/kvm/*/vcpu0/* 2>/dev/null | sed 's,.*/kvm/,,' | grep -v ':0$' || true
	done
	# shellcheck disable=SC2009
	ps axH -o pid,tid,stat,pcpu,psr,wchan,comm | grep -E 'KVM|qemu|vfio' || true
	grep -E 'vfio|CPU' /proc/interrupts || true
	dmesg | tail -n 5
	tail -n 5 "$lab_log/$1.console" || true
}
guest_mark() { keeper_call "$1" '{op: "mark"}' | value; }
guest_wait() {
	local name=$1 event=$2 match=${3:-} seconds=${4:-30} since=${5:-0} answer
	answer=$(keeper_call "$name" --arg e "$event" --argjson m "${match:-null}" --argjson t "$seconds" --argjson s "$since" \
		'{op: "wait", event: $e, match: $m, timeout: $t, since: $s}') || true
	if [[ $(jq -r .ok <<<"$answer") != true && $event == GUEST_NET && ${autopsy:-yes} != no ]]; then
		guest_autopsy "$name" >>"$lab_log/$name.autopsy" 2>&1
	fi
	value <<<"$answer"
}
guest_vf_wait() { guest_wait "$1" GUEST_NET '{"action":"add","driver":"igbvf"}' "${3:-30}" "$2" | jq -r .name; }
guest_pair() { guest_run "$1" 'for m in /sys/class/net/*/master; do [ -e "$m" ] && basename "$(readlink "$m")" && exit 0; done; exit 1'; }
guest_address() {
	local name=$1 interface=$2 address=$3
	[[ ! -e /run/netns/wire ]] || wire ip neigh flush all # the address may have had another MAC, of the VF before
	guest_run "$name" "ip addr flush dev $interface; ip addr add $address dev $interface; ip link set $interface up
		until [ \"\$(cat /sys/class/net/$interface/carrier)\" = 1 ]; do usleep 10000; done" 20
}

# guest_args NAME: QEMU's arguments, one a line; {qmp_fd} and {port_fd} are filled in by the keeper
guest_args() {
	local name=$1 dir i mem=${GUEST_MEM:-512M}; dir=$(guest_dir "$name")
	local memory=${GUEST_BACKEND:-memory-backend-memfd,id=mem,size=$mem,share=${GUEST_SHARE:-on}}
	# QEMU's igb maps each buffer for DMA in one piece and drops the frame if the pages behind it are not contiguous. With
	# memory in 4 KiB pages that is nearly every TSO frame the guest sends.
	[[ ${GUEST_HUGE:-1} != 1 || -n ${GUEST_BACKEND-} ]] || memory+=,hugetlb=on,hugetlbsize=2M
	# kvm-pv-eoi=off: an interrupt is to cause an exit soon after it was injected, see lab/README.md
	printf '%s\n' qemu-system-x86_64 -name "$name" -nodefaults -display none -no-reboot -accel kvm -cpu host,kvm-pv-eoi=off \
		-smp "${GUEST_CPUS:-1}" -m "$mem" -machine q35,memory-backend=mem -object "$memory" \
		-kernel /share/vmlinuz -initrd /share/guest.initrd -append "console=ttyS0 quiet panic=-1" \
		-chardev "socket,id=con,path=$dir/console,server=on,wait=off,logfile=$lab_log/$name.console" -serial chardev:con \
		-device virtio-serial-pci -chardev 'socket,id=lab,fd={port_fd}' -device virtserialport,chardev=lab,name=lab \
		-chardev 'socket,id=qmp,fd={qmp_fd}' -mon chardev=qmp,mode=control \
		-qmp "unix:$(guest_qmp_path "$name"),server=on,wait=off"
	for ((i = 0; i < ${GUEST_PORTS:-4}; i++)); do printf '%s\n' -device "pcie-root-port,id=rp$i,chassis=$((i + 1)),slot=$((i + 1))"; done
	[[ -z ${GUEST_STANDBY-} ]] || printf '%s\n' -netdev "tap,id=standby,ifname=${GUEST_TAP:-tap-$name},script=no,downscript=no" \
		-device "virtio-net-pci,id=net0,netdev=standby,failover=on,mac=${GUEST_MAC:?GUEST_STANDBY needs GUEST_MAC}"
}

guest_boot_once() {
	local name=$1 dir ready status as cpu; shift; dir=$(guest_dir "$name")
	# A guest that wanders between the host's emulated processors meets the fault of lab/README.md more often. So its vCPUs stay on one, the
	# second guest's on the other.
	cpu=$(((${#lab_guests[@]} + 1) % $(nproc)))
	as=()
	mapfile -t args < <(guest_args "$name")
	rm -rf "$dir" "$lab_log/$name.console"
	mkdir -p "$dir"
	if [[ -n ${GUEST_USER-} ]]; then
		as+=(setpriv --reuid="$GUEST_USER" --regid=kvm --clear-groups --inh-caps=-all)
		touch "$lab_log/$name.console" && chown "$GUEST_USER" "$dir" "$lab_log/$name.console"
	fi
	exec {ready}< <(GUEST_PIN=${GUEST_PIN:-$cpu} exec /usr/bin/python3 -ISE "$lab_lib/guestd.py" serve "$name" "$dir/keeper" "$lab_log/$name.events" \
		"${as[@]}" "${args[@]}" "$@" 2>>"$lab_log/$name.qemu" 3>&-)
	status=0
	read -r -t 30 _ <&"$ready" || status=1
	exec {ready}<&-
	[[ $status -eq 0 ]] || return 1
	[[ -n ${guest_comes-} ]] || guest_wait "$name" GUEST_UP '' "${GUEST_BOOT_LIMIT:-60}" >/dev/null
}
guest_start() {
	local name=$1 try; shift
	for try in 1 2 3; do
		# lab/run ends what does not come back from here: a boot has its own limits
		echo "# lab: boots $name" >&3
		if guest_boot_once "$name" "$@"; then
			echo "# lab: booted $name" >&3
			lab_guests+=("$name")
			return 0
		fi
		echo "# lab: booted $name" >&3
		diag "guest $name: boot $try failed ($(tail -n 1 "$lab_log/$name.qemu" 2>/dev/null)), see $name.console and $name.qemu"
		guest_stop "$name"
	done
	bail "guest $name does not boot"
}
guest_incoming() {
	local guest_comes=1
	guest_start "$@" -incoming defer
}
guest_stop() {
	local name=$1 keep=() g
	keeper_call "$name" '{op: "quit"}' >/dev/null || true
	for g in "${lab_guests[@]}"; do [[ $g == "$name" ]] || keep+=("$g"); done
	lab_guests=("${keep[@]}")
	rm -rf "$(guest_dir "$name")"
}
guest_poweroff() {
	autopsy=no guest_run "$1" 'poweroff -f' >/dev/null 2>&1 || true # the answer is cut off, or not
	guest_wait "$1" GUEST_EXIT '' "${2:-30}"
}
