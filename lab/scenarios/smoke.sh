# shellcheck shell=bash
# about: the lab itself, without gangway: QEMU's own device_add vfio-pci of a VF, traffic, device_del
# limit: 180
. /share/lab/lib/all.sh

wire_up
vfs_enable 2
vf=$(vf_bdf 0)
check "the VF's own driver is igbvf" test "$(driver_of "$vf")" = igbvf
guest_start vm1
host_snapshot /run/lab/before

check "vfio-pci takes the VF" bind_vfio "$vf"
mark=$(guest_mark vm1)
check "device_add" guest_qmp vm1 device_add driver=vfio-pci host="$vf" id=vf0 bus=rp0
check "the guest's igbvf brings an interface" guest_vf_wait vm1 "$mark"
interface=$(guest_vf_wait vm1 "$mark")
check "it has a carrier" guest_address vm1 "$interface" 10.9.0.11/24
before=$(msix_count "$vf")
check "ping through the VF" ping_guest 10.9.0.11
mbit=$(iperf vm1)
back=$(iperf vm1 5201 2 -R)
check "iperf3 through the VF: $mbit Mbit/s out, $back in" test "$((mbit * back))" -gt 0
stream_start vm1 10.9.0.11
check "ping beside a numbered stream" ping_guest 10.9.0.11
stream_stop vm1
check "the stream loses nothing" test "$(stream_lost)" = 0
after=$(msix_count "$vf")
check "its MSI-X interrupts reach the guest ($before, then $after)" test "$after" -gt "$before"
check "a command's failure is the guest's own" expect_status 3 guest_run vm1 'exit 3'

mark=$(guest_mark vm1)
check "device_del" guest_qmp vm1 device_del id=vf0
check "the guest lets it go" guest_wait vm1 DEVICE_DELETED '{"device":"vf0"}' 20 "$mark"
check "the snapshot sees a VF that is not given back" expect_status 1 host_diff /run/lab/before
check "igbvf takes the VF back" bind_back "$vf" igbvf
check "the host is unchanged" host_diff /run/lab/before
check "the guest powers off" guest_poweroff vm1
figure "smoke: iperf3 $mbit Mbit/s out, $back in; stream at $stream_rate/s each way: $(stream_lost) lost"
