# shellcheck shell=bash
# about: a host whose IOMMU is off: attach is refused before anything is touched, doctor says what to do
# needs: gangway
# host: no-iommu
# limit: 240
. /share/lab/lib/all.sh

wire_up
gangwayd_start
check "pf set: 2 VFs" gw pf set "$pf" vfs 2
pf_ready
guest_start vm1
gw guest add vm1 --qmp "$(guest_qmp_path vm1)"
host_snapshot /run/lab/before
for via in vfio-pci vfio-user; do
	check "attach by $via is refused" gw_error 6 'vfio\.no-iommu' attach vm1 "$pf" --via "$via"
	check "the host is unchanged" host_diff /run/lab/before
done
findings=$(gwj doctor) && status=0 || status=$?
check "doctor exits with 1" test "$status" -eq 1
check "doctor names the IOMMU and a remedy" jq -e '.findings[] | select(.check == "iommu" and .status == "fail" and (.hint | length > 0))' <<<"$findings"
figure "no-iommu: refused both ways, host unchanged"
