# shellcheck shell=bash
# Host b of two: does what the scenario on host a says by on_b, until that host is no more.
. /share/lab/lib/all.sh
trap - ERR EXIT
set +e
# a counts the tests and decides what ends the run
diag() { echo "# b: $*" >&3; echo "# $*"; }
bail() { echo "$*" >&2; return 1; }
peer_serve
