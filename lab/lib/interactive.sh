# shellcheck shell=bash
# The prompt of lab/shell: the library of the scenarios as commands for a person.
[[ ! -r /usr/share/bash-completion/bash_completion ]] || . /usr/share/bash-completion/bash_completion
PS1='lab# '
export NO_COLOR=1
lab_lib=/share/lab/lib
lab_log=/log
lab_guests=()
diag() { echo "$*"; }
bail() { echo "$*"; return 1; }
exec 3>/dev/null
for lab_part in wait guest host traffic gangway; do . "$lab_lib/$lab_part.sh"; done

guest-start() {
	[[ $# -ge 1 ]] || { echo "usage: guest-start NAME [QEMU-ARG...]"; return 2; }
	echo "booting $1 (some 15 s)"
	guest_start "$@" || return 1
	! command -v gangway >/dev/null || gangway guest add "$1" --qmp "$(guest_qmp_path "$1")"
}
guest-stop() { guest_stop "${1:?usage: guest-stop NAME}"; }
guest-run() { local name=${1:?usage: guest-run NAME COMMAND...}; shift; guest_run "$name" "$*"; }
guest-console() {
	echo "(Ctrl-] leaves)"
	socat STDIO,raw,echo=0,escape=0x1d UNIX-CONNECT:"$(guest_dir "${1:?usage: guest-console NAME}")/console"
}
guest-ip() { # of the newest interface of igbvf in guest NAME
	local interface
	interface=$(guest_vf_wait "${1:?usage: guest-ip NAME ADDRESS}" 0 1 &&
		grep '"add".*igbvf' "/log/$1.events" | tail -n 1 | jq -r .name) || return 1
	guest_address "$1" "${interface##*$'\n'}" "${2:?usage: guest-ip NAME ADDRESS}/24"
}
wire_up
[[ -z $(type -P gangwayd) ]] || { set +m; gangwayd_start; set -m; }
cat <<'MOTD'

An emulated host: PF eth0 (82576, up to 7 VFs), VT-d, KVM. gangwayd is running (log: /log/gangwayd.log).
  gangway doctor                    is this host fit?
  gangway pf set eth0 vfs 4         make VFs
  guest-start vm1                   start a guest and make it known to gangway
  gangway attach vm1 eth0 --timing  give it a VF
  guest-ip vm1 10.9.0.11            an address for it; the wire's far end is 10.9.0.1
  guest-run vm1 ping -c 3 10.9.0.1      or: guest-console vm1, wire ping 10.9.0.11, iperf vm1
  gangway detach vm1                take it back
  exit                              power off; nothing is kept

MOTD
