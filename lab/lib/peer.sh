# shellcheck shell=bash
# The second host, of a scenario that says "# hosts: 2". The scenario runs on host a.
#   on_b COMMAND...      run a command or a function of this library on host b; output and exit status are ours
#   on_b eval 'LINE'     the same with a line of shell
#   cable_up             both PFs get an address on the cable: $lab_a and $lab_b
# One shell on b does it all, one after the other: what a call sets (gangwayd_start, exec {fd}<>...) is there in the next. What is to go on
# beside others is put into the background there. Tests are counted on a: check "..." on_b COMMAND..., not on_b check.
# migrate_* move a guest from a to b by bare QMP, without gangway:
#   migrate_ready NAME              MIGRATION events on both sides, and a way back; b listens
#   migrate_start NAME [KEY=VALUE...]    begin, with these parameters
#   migrate_end NAME [STATUS [SECONDS]]  wait until the source's status is STATUS (completed) and, if it is that, the guest runs on b
#   migrate_told NAME FILTER        a field of query-migrate at the source

lab_a=10.8.0.1 lab_b=10.8.0.2
lab_peer=''

peer_open() {
	local port
	port=$(grep -lx peer /sys/class/virtio-ports/*/name)
	port=${port%/name}
	exec {lab_peer}<>"/dev/${port##*/}"
}
# A write waits until the other host's QEMU is there; a read before that would find the end of the file. b greets, and answers the empty
# command.
peer_wait() {
	peer_open
	echo >&"$lab_peer"
	read -r -u "$lab_peer" _ && read -r -u "$lab_peer" _
}
on_b() {
	local lock status out err
	exec {lock}>/run/lab/peer.lock
	flock "$lock"
	base64 -w 0 <<<"${*@Q}" >&"$lab_peer"
	echo >&"$lab_peer"
	read -r -u "$lab_peer" status out err || { status=125; echo "host b does not answer" >&2; }
	exec {lock}>&-
	base64 -d <<<"${out#o}"
	base64 -d <<<"${err#e}" >&2
	return "$status"
}
# b's side: second.sh
peer_answer() { echo "$1 o$(base64 -w 0 "$2") e$(base64 -w 0 "$3")" >&"$lab_peer"; }
peer_serve() {
	local line status
	peer_open
	peer_answer 0 /dev/null /dev/null
	while IFS= read -r -u "$lab_peer" line; do
		line=$(base64 -d <<<"$line")
		[[ -z $line ]] || echo "+ $line"
		status=0
		eval "$line" >/run/lab/peer.out 2>/run/lab/peer.err || status=$?
		cat /run/lab/peer.out /run/lab/peer.err
		peer_answer "$status" /run/lab/peer.out /run/lab/peer.err
	done
}

cable_up() {
	ip address add "$lab_a/24" dev "$pf"
	on_b ip address add "$lab_b/24" dev "$pf"
}

migrate_ready() {
	local events='{"capabilities":[{"capability":"events","state":true}]}'
	# as libvirt does: the migration is complete, and QEMU's downtime over, when b has said that it has it all
	guest_qmp "$1" migrate-set-capabilities "${events/]/,{\"capability\":\"return-path\",\"state\":true\}]}" >/dev/null &&
		on_b guest_qmp "$1" migrate-set-capabilities "$events" >/dev/null &&
		on_b guest_qmp "$1" migrate-incoming uri="tcp:$lab_b:4444" >/dev/null
}
migrate_start() {
	local name=$1; shift
	[[ $# -eq 0 ]] || guest_qmp "$name" migrate-set-parameters "$@" >/dev/null || return 1
	guest_qmp "$name" migrate uri="tcp:$lab_b:4444" >/dev/null
}
migrate_end() {
	local name=$1 status=${2:-completed}
	guest_wait "$name" MIGRATION '{"status":"'"$status"'"}' "${3:-60}" >/dev/null || return 1
	[[ $status != completed ]] || on_b guest_wait "$name" RESUME '' 10 >/dev/null
}
migrate_told() { guest_qmp "$1" query-migrate | jq -r "$2"; }

[[ ${LAB_HOSTS:-1} -eq 1 || $LAB_HOST == b ]] || peer_wait
