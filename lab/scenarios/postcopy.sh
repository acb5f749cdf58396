# shellcheck shell=bash
# about: as migrate, by postcopy: the guest runs on the other host before its memory is there, and has no VF until then
# needs: gangway
# hosts: 2
# limit: 400
# Arguments: packets a second in each direction (200)
set -- "${1:-200}" postcopy
. /share/lab/scenarios/migrate.sh
