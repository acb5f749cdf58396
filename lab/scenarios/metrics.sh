# shellcheck shell=bash
# about: metrics by the command and over HTTP, by TCP and by a Unix socket, to good clients and bad ones
# needs: gangway
# limit: 400
. /share/lab/lib/all.sh
mac=52:54:00:aa:00:01 addr=10.9.0.11 port=9177 unix=/run/gangway/metrics.sock

# http TO REQUEST-LINE: the answer to it, whole
http() { printf '%s\r\nHost: lab\r\nConnection: close\r\n\r\n' "$2" | socat -t 10 - "$1"; }
# status TO REQUEST-LINE CODE
status() { [[ $(http "$1" "$2" | head -n 1) == "HTTP/1."*" $3 "* ]]; }
# body TO: what a Prometheus reads
body() { http "$1" 'GET /metrics HTTP/1.1' | tr -d '\r' | sed '1,/^$/d'; }
names() { sed -n 's/^\(gangway_[a-z_]*\).*/\1/p' | sort -u; }
# leg LEG: vm1's lease is on it
leg() { grep -q "^gangway_lease_leg{.*guest=\"vm1\".*leg=\"$1\".*} 1$" <<<"$(body "$tcp")"; }
# served TO: the same samples as the command has, and each has a type
served() {
	local samples; samples=$(body "$1")
	[[ -n $(names <<<"$samples") && $(names <<<"$samples") == "$(gangway metrics | names)" ]] || return 1
	while read -r name; do
		grep -q "^# TYPE $name \(counter\|gauge\)$" <<<"$samples" || { echo "$name has no type"; return 1; }
	done < <(names <<<"$samples")
}
restart() { gangwayd_stop; printf '[metrics]\nlisten = %s\n[irq]\nroute = no\n' "$1" >/run/lab/metrics.conf; chmod 644 /run/lab/metrics.conf; gangwayd_start --config /run/lab/metrics.conf; }

wire_up
vm1_begins
check "metrics on a port of 127.0.0.1" restart "$port"
check "the lease is adopted and confirmed" wait_until 10 eval '[[ $(lease_field vm1 .confirmed) == true ]]'
tcp=TCP4:127.0.0.1:$port
check "what it serves is what the command says" wait_until 10 served "$tcp"
check "the guest's lease is in it" grep -q 'guest="vm1"' <<<"$(body "$tcp")"
check "not from elsewhere than this host" test "$(ss -ltnH "sport = :$port" | awk '{ print $4 }')" = "127.0.0.1:$port"
check "another path is not found" status "$tcp" 'GET /other HTTP/1.1' 404
check "nothing can be sent there" status "$tcp" 'POST /metrics HTTP/1.1' 405
check "what is no HTTP is refused or closed" eval '! printf "\0\1\2 rubbish\n\n" | socat -t 5 - "$tcp" | grep -q "200 OK"'

check "the guest is on its VF" leg passthrough
check "to emulated" gw switch vm1 emulated --wait 60
check "it is on its emulated leg" wait_until 10 leg emulated
check "back to the VF" gw switch vm1 passthrough --wait 60
check "it is on its VF again" wait_until 10 leg passthrough

# Clients that take all connections and say nothing, or a byte a second, are ended; the daemon does not wait for any of them.
for i in 1 2 3 4 5 6 7 8; do
	{ printf 'GET /metrics HT'; for ((k = 0; k < 60; k++)); do sleep 1; printf 'T'; done; } 2>/dev/null | socat -t 60 - "$tcp" >/dev/null 2>&1 &
	slow+=("$!")
done
check "gangwayd answers beside eight clients that drip" gw status
check "and a ninth gets its metrics, in time" wait_until 30 served "$tcp"
kill "${slow[@]}" 2>/dev/null || true
wait "${slow[@]}" 2>/dev/null || true

check "metrics on a Unix socket" restart "$unix"
check "what it serves is what the command says" wait_until 10 served "UNIX-CONNECT:$unix"
check "its rights are those of the control socket" test "$(stat -c '%a %G' "$unix")" = "$(stat -c '%a %G' "$gangwayd_socket")"
check "the port is free again" eval '! socat -T 2 - "$tcp" </dev/null 2>/dev/null'
check "a port that another has" eval 'socat TCP4-LISTEN:$port,bind=127.0.0.1,reuseaddr - </dev/null >/dev/null 2>&1 3>&- & taken=$!; wait_until 5 eval "ss -ltn | grep -q :$port"; restart "$port"'
check "is said in the log, and gangwayd goes on without" eval 'gangway status && grep -q "metrics.*Address already in use" /log/gangwayd.log'
kill "$taken" 2>/dev/null || true
check "it is at rest" wait_until 20 leg_is vm1 passthrough
check "detach" gw detach vm1
gangwayd_stop
check "the Unix socket is gone" test ! -e "$unix"
figure "metrics: by TCP, by a Unix socket, and to eight clients that drip"
