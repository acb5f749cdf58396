# shellcheck shell=bash
# about: bad input: each is refused with its code, a hint and its exit status, and the host is untouched
# needs: gangway
# host: no-acs
# limit: 400
. /share/lab/lib/all.sh
cases=0

# bad DESC STATUS CODE ARG...: gangway ARG... is refused so, and the host is as in the snapshot
refused_untouched() { gw_error "$@" && host_diff /run/lab/before; }
bad() {
	local desc=$1; shift
	cases=$((cases + 1))
	check "$desc" refused_untouched "$@"
}
# control DESC CODE LINE: LINE, sent to the control socket as it is, is answered with that error
control_answer() { socat -t 5 - "UNIX-CONNECT:$gangwayd_socket"; }
control_refused() {
	local out
	out=$(control_answer <<<"$2") || true
	cut -c1-400 <<<"$out"
	grep -qE -e "$1" <<<"$out" && gangway status >/dev/null && host_diff /run/lab/before
}
is_denied() { [[ $(gw_field .guest.state guest show "$1") == denied ]]; }
control() {
	cases=$((cases + 1))
	check "control request: $1" control_refused "$2" "$3"
}

wire_up
gangwayd_start
check "pf set: 3 VFs" gw pf set "$pf" vfs 3
pf_ready
guest_start vm1
GUEST_MEM=128M GUEST_HUGE=0 GUEST_SHARE=off GUEST_PORTS=1 guest_start private
GUEST_MEM=128M GUEST_HUGE=0 GUEST_USER=vmm guest_start limited
for g in vm1 private limited; do gw guest add "$g" --qmp "$(guest_qmp_path "$g")"; done
group_pf=$(for i in /sys/class/net/*; do [[ $(cat "$i/address") == 52:54:00:00:00:30 ]] && echo "${i##*/}"; done || true)
ip link set "$group_pf" up
wait_until 20 grep -qx 1 "/sys/class/net/$group_pf/carrier"
echo 1 >"/sys/class/net/$group_pf/device/sriov_numvfs"
wire_bdf=$(basename "$(dirname "$(grep -lxE '0x1000|0x1041' /sys/bus/pci/devices/*/device | head -n 1)")")
vf=$(vf_bdf 0)

# what QMP can be instead of QMP
touch /run/lab/fake-file
socat UNIX-LISTEN:/run/lab/fake-refuses,unlink-close=0 - </dev/null >/dev/null 2>&1 3>&- &
refuses=$!
wait_until 5 test -S /run/lab/fake-refuses
kill "$refuses"
wait "$refuses" || true
socat UNIX-LISTEN:/run/lab/fake-hangs,fork EXEC:'tail -f /dev/null' 2>/dev/null 3>&- &
fakes=$!
socat UNIX-LISTEN:/run/lab/fake-other,fork SYSTEM:'echo 220 hello' 2>/dev/null 3>&- &
fakes+=" $!"
wait_until 5 test -S /run/lab/fake-hangs
wait_until 5 test -S /run/lab/fake-other
gw guest add nobody --qmp /run/lab/fake-missing || true
gw guest add refuses --qmp /run/lab/fake-refuses || true
gw guest add hangs --qmp /run/lab/fake-hangs || true
gw guest add other --qmp /run/lab/fake-other || true
host_snapshot /run/lab/before

# which device
bad "a BDF that does not exist" 3 'sriov\.no-such-device' attach vm1 0000:7f:1f.7
bad "something that is no BDF and no interface" 3 'sriov\.no-such-device' attach vm1 'eth0;reboot'
bad "an interface that does not exist" 3 'sriov\.no-such-device' attach vm1 eth99
bad "a VF index the PF does not have" 3 'sriov\.no-such-vf' attach vm1 "$pf/vf6"
bad "a device that is no VF and no PF" 1 'sriov\.no-sriov' attach vm1 0000:00:1f.0
bad "the PF's own BDF as a VF" 1 'sriov\.not-a-vf' vf show "$(pf_bdf)"
bad "a NIC without SR-IOV" 1 'sriov\.no-sriov' attach vm1 "$wire_bdf"
bad "pf set on a NIC without SR-IOV" 1 'sriov\.no-sriov' pf set "$wire_bdf" vfs 1
bad "more VFs than the PF has" 1 'sriov\.too-many-vfs' pf set "$pf" vfs 8
bad "a negative number of VFs" 2 'cli\.usage' pf set "$pf" vfs -- -1
bad "a VF whose group has others" 5 'vfio\.group-not-viable' attach vm1 "$group_pf/vf0"

ip address add 192.0.2.1/32 dev "$(vf_name 0)"
host_snapshot /run/lab/before
bad "a VF in use: its interface has an address" 5 'sriov\.vf-in-use' attach vm1 "$vf"
ip address flush dev "$(vf_name 0)"
ip link set "$(vf_name 0)" up
ip route add 198.51.100.0/24 dev "$(vf_name 0)"
host_snapshot /run/lab/before
bad "a VF in use: its interface has a route" 5 'sriov\.vf-in-use' attach vm1 "$vf"
ip route flush dev "$(vf_name 0)"
ip link set "$(vf_name 0)" down

ip link set "$pf" down
host_snapshot /run/lab/before
bad "the PF is down" 1 'sriov\.pf-down' attach vm1 "$pf"
ip link set "$pf" up
pf_ready
host_snapshot /run/lab/before

# which policy
bad "a multicast MAC" 1 'policy\.bad-value' attach vm1 "$pf" --mac 01:00:5e:00:00:01
bad "the zero MAC" 1 'policy\.bad-value' attach vm1 "$pf" --mac 00:00:00:00:00:00
bad "a MAC that is none" 1 'policy\.bad-value' attach vm1 "$pf" --mac 52:54:00:zz:00:01
bad "the PF's own MAC" 5 'policy\.mac-in-use' attach vm1 "$pf" --mac "$(cat "/sys/class/net/$pf/address")"
bad "VLAN 4095" 1 'policy\.bad-value' attach vm1 "$pf" --vlan 4095
bad "a VLAN that is no number" 1 'policy\.bad-value' attach vm1 "$pf" --vlan ten
bad "an unknown word of policy" 1 'policy\.bad-word' vf set "$pf/vf0" colour red
bad "an unknown --via" 1 'attach\.bad-via' attach vm1 "$pf" --via pigeon

# which guest
bad "an unknown guest" 3 'guest\.unknown' attach vm9 "$pf"
bad "QMP: nothing at its path" 3 'guest\.down' attach nobody "$pf"
bad "QMP: nobody listens" 3 'guest\.down' attach refuses "$pf"
# until the hello has not come in time it is waited for, and then the answer is another one
wait_until 20 is_denied hangs
wait_until 20 is_denied other
bad "QMP: it hangs" 7 'qmp\.no-greeting' attach hangs "$pf"
bad "QMP: something else speaks there" 1 'qmp\.not-qmp' attach other "$pf"
bad "QMP: a file, not a socket" 1 'guest\.bad-qmp' guest add file --qmp /run/lab/fake-file
bad "a guest known already" 5 'guest\.exists' guest add vm1 --qmp /run/lab/elsewhere
bad "a guest name with a slash" 1 'name\.bad' guest add ../vm1 --qmp /run/lab/elsewhere
bad "guest memory that is not shared, with vfio-user" 1 'vmm\.memory-private' attach private "$pf" --via vfio-user
bad "too little memlock, with vfio-pci" 1 'vfio\.memlock' attach limited "$pf" --via vfio-pci
guest_qmp private device_add driver=virtio-rng-pci id=rng bus=rp0
bad "no free slot" 1 'vmm\.no-slot' attach private "$pf" --via vfio-pci

# which lease
# the emulated leg, the switch, migration
bad "an unknown --standby" 1 'emul\.bad-word' attach vm1 "$pf" --standby pigeon
bad "--standby in a bridge that is not there" 3 'emul\.no-bridge' attach vm1 "$pf" --standby bridge:br99
bad "--standby in what is no bridge" 1 'emul\.not-a-bridge' attach vm1 "$pf" --standby "bridge:$pf"
bad "--standby that is yet to be built" 1 'emul\.not-yet' attach vm1 "$pf" --standby vhost-user
bad "--standby for a guest not started yet" 1 'attach\.bad-standby' attach vm1 "$pf" --standby macvtap --prepare
# a guest that is not added stays unknown: what it was to be given is looked at first
gw guest remove private
for what in 'guest\.not-incoming' 'attach\.bad-standby --standby none' 'policy\.bad-value --mac 01:00:5e:00:00:01' 'attach\.bad-via --via pigeon'; do
	read -r code words <<<"$what"
	# shellcheck disable=SC2086
	bad "guest add --incoming $words, of one that runs" 1 "$code" guest add second --qmp "$(guest_qmp_path private)" --incoming "$pf" $words
done
bad "guest add --incoming, of one that is not there" 3 'guest\.down' guest add second --qmp /run/lab/fake-missing --incoming "$pf"
bad "guest add --incoming a PF that does not exist" 3 'sriov\.no-such-device' guest add second --qmp "$(guest_qmp_path private)" --incoming eth99
bad "guest add with a MAC, of one that runs" 2 'cli\.usage' guest add second --qmp "$(guest_qmp_path private)" --mac 52:54:00:00:00:01
bad "none of them has been added" 3 'guest\.unknown' guest show second
bad "switch of an unknown guest" 3 'guest\.unknown' switch vm9 emulated
bad "switch of nothing" 3 'lease\.none' switch vm1 emulated
bad "switch to a leg that is none" 2 'cli\.usage' switch vm1 sideways
bad "migrate an unknown guest" 3 'guest\.unknown' migrate vm9 tcp:10.9.0.1:4444
bad "migrate to nowhere" 2 'cli\.usage' migrate vm1
bad "migrate to what is no URI" 1 'vmm\.migrate-uri' migrate vm1 10.9.0.1
bad "migrate into a command" 6 'vmm\.migrate-exec' migrate vm1 'exec:touch /tmp/here'
bad "migrate by a descriptor" 6 'vmm\.migrate-fd' migrate vm1 fd:3
bad "detach of nothing" 3 'lease\.none' detach vm1
bad "detach of an unknown guest" 3 'guest\.unknown' detach vm9
check "attach" gw attach vm1 "$pf/vf0" --standby none --via vfio-pci --mac 52:54:00:aa:00:01
host_snapshot /run/lab/before
bad "attach twice" 5 'lease\.exists' attach vm1 "$pf/vf0" --via vfio-pci
bad "switch of a NIC without an emulated leg" 1 'switch\.no-standby' switch vm1 emulated
bad "migrate a guest whose VF has no emulated leg" 5 'migrate\.no-standby' migrate vm1 tcp:10.9.0.1:4444
bad "attach of a VF that another guest has" 5 'lease\.vf-taken' attach limited "$pf/vf0" --via vfio-user
bad "a MAC that is in use" 5 'policy\.mac-in-use' attach limited "$pf" --via vfio-user --mac 52:54:00:aa:00:01
bad "pf set while a VF is held" 5 'sriov\.vfs-leased' pf set "$pf" vfs 0
bad "guest remove while it has a lease" 5 'guest\.has-lease' guest remove vm1
check "detach" gw detach vm1
host_snapshot /run/lab/before

# two at once: one wins, the other is told
first=0 second=0
gw -j attach cold1 "$pf/vf1" --standby none --prepare >/run/lab/first 2>&1 &
one=$!
gw -j attach cold2 "$pf/vf1" --standby none --prepare >/run/lab/second 2>&1 || second=$?
wait "$one" || first=$?
diag "two at once: exit status $first and $second"
check "two at once for unknown guests: both refused" eval '[[ $first -eq 3 && $second -eq 3 ]] && host_diff /run/lab/before'
gw guest add cold1 --qmp /run/lab/cold1 && gw guest add cold2 --qmp /run/lab/cold2
first=0 second=0
gw -j attach cold1 "$pf/vf1" --standby none --prepare >/run/lab/first 2>&1 &
one=$!
gw -j attach cold2 "$pf/vf1" --standby none --prepare >/run/lab/second 2>&1 || second=$?
wait "$one" || first=$?
check "two at once on one VF: one has it, the other exits with 5 ($first, $second)" eval '[[ $((first + second)) -eq 5 ]]'
for g in cold1 cold2; do
	no_lease "$g" || check "the winner is detached" gw detach "$g"
	gw guest remove "$g"
done
check "and the host is unchanged" host_diff /run/lab/before
cases=$((cases + 1))

# the control socket
printf '{"jsonrpc":"2.0","id":1,"meth' | control_answer >/dev/null || true
check "control request: truncated, then closed" eval 'gangway status >/dev/null && host_diff /run/lab/before'
control "not JSON" '-32700.*ctl\.parse' 'GET / HTTP/1.0'
control "not an object" '-32600.*ctl\.bad-request' '[1,2]'
control "unknown method" '-32601.*ctl\.unknown-method' '{"jsonrpc":"2.0","id":1,"method":"sing"}'
control "wrong types" '-32602.*ctl\.bad-params' '{"jsonrpc":"2.0","id":1,"method":"attach","params":{"guest":7,"target":[]}}'
control "a number out of range" '-32602.*ctl\.bad-params' '{"jsonrpc":"2.0","id":1,"method":"pf.set","params":{"pf":"eth0","vfs":1e99}}'
control "a QMP path that is relative" 'guest\.bad-qmp' '{"jsonrpc":"2.0","id":1,"method":"guest.add","params":{"name":"relative","qmp":"fake"}}'
{ printf '{"jsonrpc":"2.0","id":1,"method":"'; head -c 4194304 /dev/zero | tr '\0' a; printf '"}\n'; } >/run/lab/oversized
control_answer </run/lab/oversized >/run/lab/oversized.answer 2>&1 || true
check "control request: oversized" eval 'gangway status >/dev/null && host_diff /run/lab/before'
control "a NUL in a string" '-32700.*ctl\.parse' '{"jsonrpc":"2.0","id":1,"method":"attach","params":{"guest":"vm1\u0000x","target":"eth0"}}'
cases=$((cases + 2))

# the state database
state=/var/lib/gangway/state.db
for g in nobody refuses hangs other private limited; do gw guest remove "$g" || true; done
gangwayd_stop
host_snapshot /run/lab/before
cp -r /var/lib/gangway /run/lab/state
# refuses_to_start WORDS: gangwayd ends by itself with status 1, says so and changes nothing
refuses_to_start() {
	local status=0 out
	out=$(timeout 20 gangwayd 2>&1 3>&-) || status=$?
	echo "$out"
	[[ $status -eq 1 ]] && grep -qE "$1" <<<"$out" && host_diff /run/lab/before
}
restore_state() { rm -rf /var/lib/gangway && cp -r /run/lab/state /var/lib/gangway; }
rm -f "$state"-wal "$state"-shm
truncate -s 5000 "$state"
check "state.db truncated: gangwayd says so and stops" refuses_to_start 'state\.db: .*(malformed|cut short)'
restore_state
sqlite3 "$state" 'PRAGMA user_version = 999'
check "state.db of a newer version: gangwayd says so and stops" refuses_to_start 'state\.db: written by a newer gangway'
restore_state
check "with the old state.db it starts" gangwayd_start
cases=$((cases + 2))

# no daemon
gangwayd_stop
bad "no gangwayd" 4 'cli\.unreachable' status
# shellcheck disable=SC2086
kill $fakes
figure "bad-input: $cases cases"
