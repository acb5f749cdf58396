# shellcheck shell=bash
# about: the story in one go: a guest gets a VF, traffic flows, the VF comes back, the host is as it was
# needs: gangway
# limit: 300
. /share/lab/lib/all.sh

tell() { diag ''; diag "$*"; }
# type_ COMMAND...: show the command as typed, then what it says
type_() {
	local out status=0
	diag "  \$ $*"
	out=$("$@" 2>&1) || status=$?
	[[ -z $out ]] || diag "$(sed 's/^/    /' <<<"$out")"
	if [[ $status -eq 0 ]]; then ok "$*"; else not_ok "$*" "exit status $status"; fi
}

wire_up
gangwayd_start
tell "A host with an SR-IOV NIC. gangwayd is running."
type_ gangway pf set eth0 vfs 4
pf_ready
type_ gangway pf list
tell "A QEMU guest starts, as any guest: unmodified Debian kernel, a free pcie-root-port, a QMP socket."
guest_start vm1
host_snapshot /run/lab/before
type_ gangway guest add vm1 --qmp "$(guest_qmp_path vm1)"
tell "It gets a virtual function of eth0 while it runs."
mark=$(guest_mark vm1)
type_ gangway attach vm1 eth0 --timing
type_ gangway status
interface=$(guest_vf_wait vm1 "$mark")
bdf=$(lease_field vm1 .vf_bdf)
tell "Its own igbvf driver has brought $interface. Traffic goes through the VF, interrupts straight to the guest."
guest_address vm1 "$interface" 10.9.0.11/24
before=$(msix_count "$bdf")
check "20 pings from the wire" ping_guest 10.9.0.11
mbit=$(iperf vm1)
diag "  iperf3: $mbit Mbit/s from the guest to the wire"
diag "  /proc/interrupts, vfio-msix of $bdf: $before before, $(msix_count "$bdf") after"
check "interrupts of the VF reached the guest" test "$(msix_count "$bdf")" -gt "$before"
tell "The VF is taken back. The host is as it was before."
type_ gangway detach vm1
type_ gangway status
check "drivers, MACs, VF policy, files, locked memory: unchanged" host_diff /run/lab/before
figure "demo: $mbit Mbit/s through the VF, host unchanged"
