# shellcheck shell=bash
# about: two hosts, without gangway: the cable between them, and QEMU's own migration of a plain guest over it
# hosts: 2
# limit: 300
# Arguments: packets a second in each direction (200)
. /share/lab/lib/all.sh
rate=${1:-200}
mac=52:54:00:aa:00:02 addr=10.9.0.12
export GUEST_MEM=256M # each MiB of it costs the emulated hosts time

# The guest's NIC on a host: a macvtap on the PF, open as $tap.
macvtap_open() {
	ip link add link "$pf" name mvt0 address "$mac" type macvtap mode bridge
	echo 1 >/proc/sys/net/ipv6/conf/mvt0/disable_ipv6 # the host would speak from the guest's MAC
	ip link set mvt0 up
	exec {tap}<>"/dev/tap$(</sys/class/net/mvt0/ifindex)"
}
macvtap_close() {
	exec {tap}>&-
	ip link delete mvt0
}
plain_guest() { GUEST_FDS=$tap "$1" vm1 -netdev "tap,id=nic,fd=$tap" -device "virtio-net-pci,netdev=nic,mac=$mac"; }
on_b eval "mac=$mac GUEST_MEM=$GUEST_MEM; $(declare -f macvtap_open macvtap_close plain_guest)"

# what PF to PF can do
pings() { ping -q -c 20 -i 0.05 -W 1 "$lab_b" | sed -n 's/.* \([0-9]*\) received.*/\1/p; s/^rtt[^=]*= //p'; }
throughput() {
	on_b iperf3 -s -D -1 -p 5201
	iperf3 -c "$lab_b" -p 5201 -t 2 -J | jq -er 'if .error then error(.error) else .end.sum_received.bits_per_second / 1e6 | round end'
}
said() { on_b eval 'echo "from b"; echo complaint >&2; (exit 3)'; }

wire_up
cable_up
check "what b says, and how it ends, is told on a" test "$(said 2>&1; echo $?)" = $'from b\ncomplaint\n3'
check "b is another host" test "$(on_b cat "/sys/class/net/$pf/address")" = 52:54:00:00:00:11
check "what one call sets on b the next one finds" test "$(on_b eval 'here=kept'; on_b eval 'echo $here')" = kept
read -r -d '' got rtt < <(pings) || true
check "ping PF to PF: $got of 20, rtt $rtt" test "$got" -ge 19
mbit=$(throughput)
check "iperf3 PF to PF: $mbit Mbit/s" test "$mbit" -gt 0
host_snapshot /run/lab/before
on_b host_snapshot /run/lab/before

macvtap_open
plain_guest guest_start
interface=$(guest_run vm1 "grep -lx $mac /sys/class/net/*/address | cut -d / -f 5")
check "the guest on a has an address" guest_address vm1 "$interface" "$addr/24"
check "ping to the guest on a" ping_guest "$addr"
on_b macvtap_open
check "its QEMU on b waits for it" on_b plain_guest guest_incoming
stream_start vm1 "$addr" "$rate"
check "ready to migrate" migrate_ready vm1
check "migrate" migrate_start vm1
check "it completes, and the guest runs on b" migrate_end vm1
check "ping to the guest on b" ping_guest "$addr"
stream_stop vm1 on_b
downtime=$(migrate_told vm1 .downtime) total=$(migrate_told vm1 '."total-time"')
mib=$(migrate_told vm1 '.ram.transferred / 1048576 | round')
check "the stream came through" test "$(jq .to_guest.received <<<"$stream")" -gt 0
check "b runs commands in the guest" test "$(on_b guest_run vm1 'echo hello')" = hello
guest_stop vm1
macvtap_close
check "host a is unchanged" host_diff /run/lab/before
check "the guest on b goes on without it" ping_guest "$addr"
check "the guest powers off on b" on_b guest_poweroff vm1
on_b guest_stop vm1
on_b macvtap_close
check "host b is unchanged" on_b host_diff /run/lab/before
figure "cable: iperf3 PF to PF $mbit Mbit/s, rtt $rtt; migration of $mib MiB $total ms, downtime $downtime ms, dark $(stream_dark "$rate") ms"
