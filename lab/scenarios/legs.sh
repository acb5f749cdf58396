# shellcheck shell=bash
# about: the same policy on both legs of a guest, as the wire sees it: who reaches it, VLAN, rate, source check; a macvtap, and a tap in a bridge
# needs: gangway
# limit: 1500
# Arguments: the kinds of emulated leg (macvtap bridge)
. /share/lab/lib/all.sh
kinds=("$@")
[[ $# -gt 0 ]] || kinds=(macvtap bridge)
mac=52:54:00:aa:00:01 second_mac=52:54:00:aa:00:02 foreign=52:54:00:ee:00:01 stranger=52:54:00:ee:00:02 all=ff:ff:ff:ff:ff:ff
vlan=5 other_vlan=7 rate=20
net=10.9.0 # of the wire; of its end of the VLAN 10.9.5
br=br0
compared=0
declare -A rates alien hopped # by kind and leg

# A VF of the same PF with the host's own driver, in a network namespace: what the NIC switches itself, and the wire never sees.
other() { ip netns exec other "$@"; }
other_up() {
	local name; name=$(vf_name 2) # the last one: its name on the host must not be free for another that comes back
	ip netns add other
	ip link set "$name" netns other name other0
	other ip address add 10.9.0.2/24 dev other0
	other ip link set other0 up
	wait_until 10 other grep -qx 1 /sys/class/net/other0/carrier
}
wire_vlan_up() {
	wire ip link add link wire0 name "wire0.$vlan" type vlan id "$vlan"
	wire ip address add "10.9.$vlan.1/24" dev "wire0.$vlan"
	wire ip link set "wire0.$vlan" up
}
# As an operator does it: the PF becomes a port, and the host's address moves to the bridge.
bridge_up() {
	ip link set "$pf" master "$br" && ip link set "$br" up &&
		ip address delete 10.9.0.3/24 dev "$pf" && ip address add 10.9.0.3/24 dev "$br" && pf_ready
}
bridge_down() {
	ip address delete 10.9.0.3/24 dev "$br" && ip link set "$pf" nomaster && ip link delete "$br" &&
		ip address add 10.9.0.3/24 dev "$pf" && pf_ready
}
bridge_forget() { echo 1 >"/sys/class/net/$br/bridge/flush"; } # what it has learnt

# --- who reaches it ---

# All is to be unicast: an ARP request is heard everywhere and proves nothing. So all know each other's MACs beforehand.
acquaint() {
	local nic=wire0
	[[ $net == 10.9.0 ]] || nic=wire0.$vlan
	wire ip neigh replace "$net.11" lladdr "$mac" nud permanent dev "$nic" &&
		guest_run vm1 "arp -i $first -s $net.1 $wire_mac && arp -i $first -s $net.12 $second_mac" &&
		guest_run vm2 "arp -i $second -s $net.1 $wire_mac && arp -i $second -s $net.11 $mac" || return 1
	[[ $net == 10.9.0 ]] || return 0
	other ip neigh replace "$net.11" lladdr "$mac" nud permanent dev other0 &&
		guest_run vm1 "arp -i $first -s $net.2 $other_mac && arp -i $first -s $net.3 $pf_mac" &&
		ip neigh replace "$net.11" lladdr "$mac" nud permanent dev "$host_nic"
}
forget() {
	wire ip neigh flush all nud permanent
	other ip neigh flush all nud permanent
	ip neigh flush all nud permanent
}
pings() { # pings WHO ADDR
	local run=()
	case $1 in
	wire | other) run=("$1" ping -i 0.02) ;;
	host) run=(ping -i 0.02) ;;
	*) run=(guest_run "$1") ;;
	esac
	if [[ ${run[0]} == guest_run ]]; then "${run[@]}" "ping -q -c 10 -i 0.05 -W 1 $2"; else "${run[@]}" -q -c 10 -W 1 "$2"; fi |
		sed -n 's/.* \([0-9]*\) \(packets \)*received.*/\1/p'
}
# What counts frames on their way, for the log
where_it_stops() {
	local i
	echo "== $kind, $leg"
	ip -s -d link show "$pf"
	for i in /sys/class/net/gwt*; do
		ip -s -d link show "${i##*/}"
		tc -s qdisc show dev "${i##*/}"
		tc -s filter show dev "${i##*/}" egress
		tc -s filter show dev "${i##*/}" ingress
	done
	wire ip -s link show wire0
	guest_run vm1 "ip -s link; cat /proc/interrupts; arp -n; frames send $first $mac $wire_mac 0 where; ip -s link" || true
	for i in /sys/class/net/gwt*; do ip -s link show "${i##*/}"; done
}
# reached WHO=ADDR...: each WHO reaches the guest, and the guest ADDR
reached() {
	local who to from bad=0
	for who; do
		from=$(pings "${who%%=*}" "$net.11" || true) to=$(pings vm1 "${who#*=}" || true)
		echo "of 10 pings answered: ${who%%=*} to the guest ${from:-0}, the guest to ${who%%=*} ${to:-0}"
		[[ ${from:-0} -ge 9 && ${to:-0} -ge 9 ]] || bad=1
	done
	[[ $bad -eq 0 ]] || where_it_stops >>"$lab_log/where" 2>&1
	return $bad
}
# With most NICs a macvtap and its own host do not hear each other: said, not judged.
host_reaches() {
	local from; from=$(pings host "$net.11" || true)
	diag "$kind, $leg: the host itself reaches it with ${from:-0} of 10 pings"
	[[ $kind == macvtap || ${from:-0} -ge 9 ]]
}

# --- what arrives of frames ---

worst() { # worst ARRAY NR: keep the largest of this kind and leg
	# shellcheck disable=SC2178
	local -n of=$1
	[[ $2 -le ${of[$kind $leg]:--1} ]] || of[$kind $leg]=$2
}
# Of each kind: its name, and what the VF and its stand-in have of ARRAY
both_of() {
	# shellcheck disable=SC2178
	local -n of=$1
	local kind out=''
	for kind in "${kinds[@]}"; do out+="${out:+, }$kind ${of[$kind passthrough]-?} ${of[$kind emulated]-?}"; done
	echo "$out"
}

# sources WANT: of frames with a foreign source none, some (say how many) or all come to the wire
sources() {
	local heard own foreigners
	frames_listen wire wire0 && frames_send vm1 "$first" "$mac" "$wire_mac" 0 own &&
		frames_send vm1 "$first" "$foreign" "$wire_mac" 0 foreign && frames_send vm1 "$first" "$mac" "$wire_mac" 0 end 5 &&
		heard=$(frames_heard wire) || return 1
	own=$(frames_nr "$heard" own 0) foreigners=$(frames_nr "$heard" foreign)
	diag "$kind, $leg: spoofchk $(gw_field .vf.spoofchk vf show "$pf/vf0"): of 20 frames with the guest's source $own come to the wire, of 20 with a foreign one $foreigners"
	[[ $1 != none ]] || worst alien "$foreigners"
	[[ $own -ge 18 ]] || return 1
	case $1 in
	# what the emulated NIC lets through is not ours
	none) [[ $leg == passthrough || $foreigners -eq 0 ]] ;;
	all) [[ $foreigners -ge 18 ]] ;;
	esac
}
# strangers WANT: of frames to an address that is not the guest's none come to it, or any number. From the wire, and where there is a bridge from
# the host, whose bridge floods what it does not know. (A bridge has the PF hear all; then QEMU's igb gives the VFs what nobody is known for.)
strangers() {
	local heard lost
	frames_listen vm1 "$first" && frames_send wire wire0 "$wire_mac" "$stranger" 0 wire &&
		{ [[ $kind != bridge ]] || frames_send host $br "$pf_mac" "$stranger" 0 host; } &&
		frames_send wire wire0 "$wire_mac" "$mac" 0 own && frames_send wire wire0 "$wire_mac" "$mac" 0 end 5 &&
		heard=$(frames_heard vm1) || return 1
	lost=$(frames_nr "$heard" wire)/$(frames_nr "$heard" host)
	diag "$kind, $leg: trust $(gw_field .vf.trust vf show "$pf/vf0"): of 20 frames to its address $(frames_nr "$heard" own 0) come to the guest, of 20 to a stranger's $lost (from the wire, from the host)"
	[[ $(frames_nr "$heard" own 0) -ge 18 && ($1 == any || $lost == 0/0 || $kind/$leg == bridge/passthrough) ]]
}
# Frames to all come once; those to many as the VF hears them, or the PF if it stands in for that: QEMU's igb gives a PF that hears all multicast
# none. (It gives one back its own broadcasts, too: the echo is said, not judged.)
broadcasts() {
	local heard at_pf='' nr
	[[ $leg == passthrough ]] || frames_listen host "$pf" || return 1
	frames_listen vm1 "$first" && frames_send vm1 "$first" "$mac" "$all" 0 echo && frames_send wire wire0 "$wire_mac" "$all" 0 broadcast &&
		frames_send wire wire0 "$wire_mac" 33:33:00:00:00:01 0 multicast && frames_send other other0 "$other_mac" "$all" 0 other &&
		frames_send wire wire0 "$wire_mac" "$mac" 0 end 5 && heard=$(frames_heard vm1) || return 1
	[[ $leg == passthrough ]] || at_pf=$(frames_heard host) || return 1
	nr=$(frames_nr "$at_pf" multicast)
	diag "$kind, $leg: in the guest: ${heard//$'\n'/; }${at_pf:+; of multicast at the PF $nr} (word, VLAN, number)"
	once broadcast "$heard" && once other "$heard" && { [[ -n $at_pf && $nr -lt 18 ]] || once multicast "$heard"; }
}
once() { local n; n=$(frames_nr "$2" "$1"); [[ $n -ge 18 && $n -le 20 ]]; }
# On the VF nothing leaves by the emulated leg: it would be out of the VF's rate.
silent() {
	local heard nic
	nic=$(guest_run vm1 'for i in /sys/class/net/*; do [ -e $i/master ] && [ "$(basename "$(readlink $i/device/driver)")" = virtio_net ] && basename $i; done; true')
	[[ -n $nic ]] && frames_listen wire wire0 && { frames_send vm1 "$nic" "$mac" "$wire_mac" 0 standby || true; } &&
		frames_send vm1 "$first" "$mac" "$wire_mac" 0 own && frames_send vm1 "$first" "$mac" "$wire_mac" 0 end 5 &&
		heard=$(frames_heard wire) || return 1
	diag "$kind, $leg: of 20 frames that the guest sends by its standby $nic $(frames_nr "$heard" standby) come to the wire"
	[[ $(frames_nr "$heard" own) -ge 18 && $(frames_nr "$heard" standby) -eq 0 ]]
}
# What the guest sends is in its VLAN on the wire, whatever tag it puts in front.
tagged() {
	local heard up hop
	frames_listen wire wire0 && frames_send vm1 "$first" "$mac" "$wire_mac" 0 up &&
		frames_send vm1 "$first" "$mac" "$wire_mac" "$other_vlan" hop && frames_send vm1 "$first" "$mac" "$wire_mac" 0 end 5 &&
		heard=$(frames_heard wire) || return 1
	up=$(frames_nr "$heard" up $vlan) hop=$(frames_nr "$heard" hop $vlan)
	diag "$kind, $leg: on the wire: ${heard//$'\n'/; } (word, VLAN, number)"
	worst hopped "$hop"
	[[ $up -ge 18 && $(frames_nr "$heard" up) -eq $up && $(frames_nr "$heard" hop) -eq $hop ]]
}
# What comes in its VLAN is untagged in the guest, and nothing else comes, neither from the wire nor from a VF that is in no VLAN.
untagged() {
	local heard
	frames_listen vm1 "$first" && frames_send wire wire0 "$wire_mac" "$mac" 0 untagged &&
		frames_send wire wire0 "$wire_mac" "$mac" "$other_vlan" elsewhere && frames_send other other0 "$other_mac" "$mac" 0 stray &&
		frames_send wire wire0 "$wire_mac" "$all" 0 untagged && frames_send wire wire0 "$wire_mac" "$all" "$vlan" broadcast &&
		frames_send wire wire0 "$wire_mac" "$mac" "$vlan" down && frames_send wire wire0 "$wire_mac" "$mac" "$vlan" end 5 &&
		heard=$(frames_heard vm1) || return 1
	diag "$kind, $leg: in the guest: ${heard//$'\n'/; } (word, VLAN, number)"
	[[ $(frames_nr "$heard" down 0) -ge 18 && $(wc -l <<<"$heard") -eq 2 ]] && once broadcast "$heard"
}

# --- the rate ---

# Mbit/s from the guest to the wire: by TCP; by UDP, at three times the rate
tcp_rate() {
	guest_run vm1 "iperf3 -c $net.1 -t 4 -O 1 -J --connect-timeout 3000" 40 |
		jq -er 'if .error then error(.error) else .end.sum_received.bits_per_second / 1e5 | round / 10 end'
}
udp_rate() {
	guest_run vm1 "iperf3 -c $net.1 -u -b $((3 * rate))M -l 1400 -t 3 -J --connect-timeout 3000" 40 |
		jq -er 'if .error then error(.error) else .end.sum | .bits_per_second * (1 - .lost_percent / 100) / 1e5 | round / 10 end'
}
# Not more than the rate, and something. How much less is the emulated hosts' affair, and a policer's that has no queue, which TCP does not like.
within() { awk -v got="$1" -v want="$2" 'BEGIN { exit !(got <= 1.15 * want && got > 0) }'; }
# The emulated leg holds it. So far the emulated NIC does not, and that is not ours.
limited() {
	local tcp udp
	tcp=$(tcp_rate) && udp=$(udp_rate) || return 1
	diag "$kind, $leg: TCP $tcp, UDP $udp Mbit/s, of $rate"
	rates[$kind $leg]=$tcp/$udp
	[[ $leg == passthrough ]] || { within "$tcp" "$rate" && within "$udp" "$rate"; }
}

# --- the lease ---

to() { # to LEG [GUEST]
	local guest=${2:-vm1}
	check "$kind: $guest to its leg $1" gw switch "$guest" "$1" --wait 60
	check "$kind: $guest is there" leg_is "$guest" "$1"
	[[ $guest != vm1 ]] || leg=$1
}
same() { local desc=$1; shift; check "$kind, $leg: $desc" "$@"; compared=$((compared + 1)); }
give() { # give GUEST VF-INDEX MAC ADDR ARG...
	local guest=$1 vf=$2 address=$3 addr=$4; shift 4
	check "$kind: attach $guest${*:+ $*}" gw attach "$guest" "$pf/vf$vf" --via vfio-pci --standby "$word" --mac "$address" "$@"
	pair_up "$guest" "$addr"
}
set_policy() { check "$kind: vf set $*" gw vf set "$pf/vf0" "$@"; }
refused() { # refused STATUS CODE ARG...
	local status=$1 code=$2; shift 2
	check "$kind: refused: attach vm1 $*: $code" gw_error "$status" "${code//./\\.}" attach vm1 "$pf/vf0" --via vfio-pci --mac "$mac" "$@"
}
both_guests() {
	give vm1 0 "$mac" "$net.11" "$@"
	first=$(guest_pair vm1)
	# of two legs in a VLAN of a PF the second has no QoS of its own
	[[ $kind/$# != macvtap/4 ]] || check "macvtap: refused: another QoS in the VLAN: emul.vlan-qos" \
		gw_error 5 'emul\.vlan-qos' attach vm2 "$pf/vf1" --via vfio-pci --standby "$word" --mac "$second_mac" --vlan "$vlan" --qos 3
	give vm2 1 "$second_mac" "$net.12" ${1:+--vlan "$vlan"}
	second=$(guest_pair vm2)
	check "$kind: all know each other's addresses" acquaint
}
both_end() {
	forget
	check "$kind: detach vm2" gw detach vm2
	check "$kind: detach vm1" gw detach vm1
}

without_vlan() {
	local all_of=(wire=10.9.0.1 other=10.9.0.2 vm2=10.9.0.12)
	net=10.9.0
	both_guests
	for leg in passthrough emulated; do
		[[ $leg == passthrough ]] || to "$leg"
		same "the wire, another VF and another guest reach it, and it them" reached "${all_of[@]}"
		same "and the host itself" host_reaches
		same "broadcasts and multicasts come once" broadcasts
		same "no frames to an address that is not its own" strangers none
		same "a foreign source is dropped, as this VF has it by default" sources none
		[[ $leg == emulated ]] || same "nothing leaves by the other leg" silent
	done
	to emulated vm2
	same "another guest on its emulated leg, and all else, reach it, and it them" reached "${all_of[@]}"
	for leg in emulated passthrough; do
		[[ $leg == emulated ]] || to "$leg"
		set_policy spoofchk off
		same "a foreign source passes without spoofchk" sources all
		set_policy spoofchk on
		same "and is dropped again" sources none
		set_policy trust on
		same "with trust it may hear more" strangers any
		set_policy trust off
		same "and without it no more" strangers none
	done
	same "another guest on its emulated leg, and all else, reach it, and it them" reached "${all_of[@]}"
	both_end
}
with_vlan() {
	local all_of=("wire=10.9.$vlan.1" "vm2=10.9.$vlan.12")
	net=10.9.$vlan
	both_guests --vlan "$vlan" --max-tx-rate "$rate"
	for leg in passthrough emulated; do
		[[ $leg == passthrough ]] || to "$leg"
		same "the wire and another guest reach it in the VLAN, and it them" reached "${all_of[@]}"
		same "what it sends is in the VLAN" tagged
		same "what it receives is of the VLAN, and untagged" untagged
		same "the rate" limited
	done
	check "$kind: refused: vf set vlan: the pair's is fixed" gw_error 1 'emul\.vlan-fixed' vf set "$pf/vf0" vlan "$other_vlan"
	same "what it sends is in the VLAN yet" tagged
	to emulated vm2
	same "another guest on its emulated leg and the wire reach it, and it them" reached "${all_of[@]}"
	to passthrough
	same "another guest on its emulated leg and the wire reach it, and it them" reached "${all_of[@]}"
	both_end
}
# A policy that the VF had before, and no option of the attach speaks of
inherited() {
	net=10.9.$vlan
	set_policy vlan "$vlan" max_tx_rate "$rate"
	give vm1 0 "$mac" "$net.11"
	first=$(guest_pair vm1)
	for leg in passthrough emulated; do
		[[ $leg == passthrough ]] || to "$leg"
		same "what it sends is in the VLAN that the VF had" tagged
		same "what it receives is of the VLAN, and untagged" untagged
		same "the rate that the VF had" limited
	done
	set_policy min_tx_rate 0 spoofchk off
	same "another word leaves the VLAN" tagged
	same "and the rate" limited
	check "$kind: detach vm1" gw detach vm1
	check "$kind: the VF has its VLAN and rate as before" test "$(gw_field '.vf | "\(.vlan) \(.max_tx_rate) \(.spoofchk)"' vf show "$pf/vf0")" = "$vlan $rate true"
	set_policy vlan 0 max_tx_rate 0
}

wire_up
wire_vlan_up
gangwayd_start
check "pf set: 3 VFs" gw pf set "$pf" vfs 3
pf_ready
check "a VF of the host's own" other_up
wire_mac=$(wire cat /sys/class/net/wire0/address)
other_mac=$(other cat /sys/class/net/other0/address)
pf_mac=$(cat "/sys/class/net/$pf/address")
ip address add 10.9.0.3/24 dev "$pf"
host_snapshot /run/lab/before
for guest in vm1 vm2; do
	guest_start "$guest"
	check "guest add $guest" gw guest add "$guest" --qmp "$(guest_qmp_path "$guest")"
done
for kind in "${kinds[@]}"; do
	word=$kind host_nic=$pf
	case $kind in
	macvtap)
		refused 3 emul.no-bridge --standby bridge:$br
		;;
	bridge)
		word=bridge:$br host_nic=$br
		ip link add $br type bridge
		refused 1 emul.pf-not-in-bridge --standby "$word"
		check "bridge: the PF joins it, and the host's address moves" bridge_up
		check "bridge: the wire reaches the host" wait_until 10 wire ping -q -c 1 -W 1 10.9.0.3
		refused 5 emul.pf-is-port --standby macvtap
		refused 1 emul.bridge-no-vlan --standby "$word" --vlan $vlan
		bridge_forget
		;;
	*) bail "no such kind of leg: $kind" ;;
	esac
	host_snapshot /run/lab/kind
	without_vlan
	if [[ $kind == bridge ]]; then
		ip link set $br type bridge vlan_filtering 1
		refused 1 emul.bridge-vlan-missing --standby "$word" --vlan $vlan
		bridge vlan add dev "$pf" vid $vlan
		refused 1 emul.bridge-qos --standby "$word" --vlan $vlan --qos 3
	fi
	with_vlan
	inherited
	if [[ $kind == bridge ]]; then
		bridge vlan del dev "$pf" vid $vlan
		ip link set $br type bridge vlan_filtering 0
		bridge_forget
	fi
	check "$kind: the host is unchanged" host_diff /run/lab/kind
	[[ $kind != bridge ]] || check "bridge: it is taken down" bridge_down
done
for guest in vm1 vm2; do
	guest_stop "$guest"
	check "guest remove $guest" gw guest remove "$guest"
done
check "the host is unchanged" host_diff /run/lab/before
check "the IOMMU reported no fault" test "$(dmar_faults)" -eq 0
figure "legs: $compared comparisons; on the VF and on its stand-in: TCP/UDP Mbit/s of $rate: $(both_of rates); of 20 frames with a foreign source let out: $(both_of alien);" \
	"of 20 that the guest tags itself in its VLAN: $(both_of hopped)"
