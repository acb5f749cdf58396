# shellcheck shell=bash
# about: the story in one go: a guest gets a VF, traffic flows, it migrates to another host under traffic and has a VF there; both hosts as they were
# needs: gangway
# hosts: 2
# limit: 400
. /share/lab/lib/all.sh
rate=200 mac=52:54:00:aa:00:01 addr=10.9.0.11
export GUEST_MEM=256M # each MiB of it costs the emulated hosts time

tell() { diag ''; diag "$*"; }
# type_ HOST COMMAND...: show the command as typed, then what it says
type_() {
	local host=$1 out status=0; shift
	diag "  $host \$ $*"
	if [[ $host == b ]]; then out=$(on_b "$@" 2>&1) || status=$?; else out=$("$@" 2>&1) || status=$?; fi
	[[ -z $out ]] || diag "$(sed 's/^/    /' <<<"$out")"
	if [[ $status -eq 0 ]]; then ok "$*"; else not_ok "$*" "exit status $status"; fi
}
moves() { msix_count "$(lease_field vm1 .vf_bdf)"; }
on_b eval "GUEST_MEM=$GUEST_MEM; $(declare -f moves)"

wire_up
cable_up
gangwayd_start
on_b gangwayd_start
tell "Two hosts, a and b, each with an SR-IOV NIC and gangwayd, on one network."
type_ a gangway pf set eth0 vfs 4
type_ b gangway pf set eth0 vfs 4
pf_ready
on_b pf_ready
type_ a gangway pf list
host_snapshot /run/lab/before
on_b host_snapshot /run/lab/before
tell "A QEMU guest starts on a, as any guest: unmodified Debian kernel, free pcie-root-ports, a QMP socket."
guest_start vm1
type_ a gangway guest add vm1 --qmp "$(guest_qmp_path vm1)"
tell "It gets a virtual function of eth0 while it runs, and an emulated NIC to fall back on. Its own net_failover makes one interface of both."
type_ a gangway attach vm1 eth0 --standby macvtap --mac "$mac" --timing
pair_up vm1 "$addr"
type_ a gangway status
before=$(moves)
check "20 pings from the wire" ping_guest "$addr"
mbit=$(iperf vm1)
diag "  iperf3: $mbit Mbit/s from the guest to the wire; vfio-msix in /proc/interrupts: $before before, $(moves) after"
check "interrupts of the VF reached the guest" test "$(moves)" -gt "$before"

tell "On b a QEMU waits for the guest. gangway there reserves a VF."
on_b guest_incoming vm1
type_ b gangway guest add vm1 --qmp "$(guest_qmp_path vm1)" --incoming eth0 --mac "$mac"
tell "A numbered stream of $rate packets a second in each direction starts. The guest migrates: gangway moves it to its emulated NIC first."
migrate_ready vm1
stream_start vm1 "$addr" "$rate"
type_ a gangway migrate vm1 "tcp:$lab_b:4444"
check "the guest runs on b" on_b guest_wait vm1 RESUME "" 10
check "it comes to rest on a VF of b" on_b wait_until 60 leg_is vm1 passthrough
before=$(on_b moves)
check "20 pings from the wire" ping_guest "$addr"
check "interrupts of b's VF reached it" test "$(on_b moves)" -gt "$before"
stream_stop vm1 on_b
dark=$(stream_dark "$rate") downtime=$(migrate_told vm1 .downtime)
type_ b gangway status
tell "It was dark for $dark ms in all; QEMU itself held it for $downtime ms."

tell "The VFs are taken back. Both hosts are as they were before."
guest_stop vm1
check "a: the lease ends with the QEMU that the guest has left" wait_until 20 no_lease vm1
check "a: drivers, MACs, VF policy, files, locked memory: unchanged" host_diff /run/lab/before
type_ b gangway detach vm1
on_b guest_stop vm1
check "b: unchanged" on_b host_diff /run/lab/before
figure "demo: $mbit Mbit/s through the VF; migrated under traffic, dark $dark ms of which QEMU's downtime is $downtime ms; hosts unchanged"
