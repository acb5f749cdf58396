# shellcheck shell=bash
# Frames with any source, destination and VLAN tag (frames.c), and what of them arrives.
#   frames_listen WHO IF        WHO (host, wire, or a guest) counts what IF receives from now on, until a frame says "end"
#   frames_heard WHO            wait for that and print a line "WORD VLAN NR" for each word and tag, VLAN 0 for untagged
#   frames_send WHO IF SRC DST VLAN WORD [NR]    WHO (host, wire, another namespace, or a guest) sends NR (20) frames that carry WORD; VLAN 0: untagged
#   frames_nr HEARD WORD [VLAN]    how many of HEARD have WORD, and VLAN

frames_in_guest() { [[ -e $(guest_dir "$1")/keeper ]]; }
frames_listen() {
	if frames_in_guest "$1"; then
		guest_run "$1" "frames count $2 /run/frames"
	elif [[ $1 == host ]]; then
		/share/frames count "$2" /run/lab/host.frames
	else
		ip netns exec "$1" /share/frames count "$2" "/run/lab/$1.frames"
	fi
}
frames_heard() {
	if frames_in_guest "$1"; then
		guest_run "$1" 'until [ -e /run/frames ]; do usleep 10000; done; sort /run/frames'
	else
		wait_until 15 test -e "/run/lab/$1.frames" && sort "/run/lab/$1.frames"
	fi
}
frames_send() {
	local who=$1; shift
	if frames_in_guest "$who"; then
		guest_run "$who" "frames send $*"
	elif [[ $who == host ]]; then
		/share/frames send "$@"
	else
		ip netns exec "$who" /share/frames send "$@"
	fi
}
frames_nr() { awk -v w="$2" -v v="${3-}" '$1 == w && (v == "" || $2 == v) { n += $3 } END { print n + 0 }' <<<"$1"; }
