#!/bin/sh
# A first configuration in a folder: ward.conf, a new master key, the account "main".
set -eu
dir=$1
umask 077
mkdir -p "$dir"
[ -e "$dir/master.key" ] || dd if=/dev/urandom of="$dir/master.key" bs=32 count=1 2>/dev/null
cat > "$dir/ward.conf" <<CONF
[service]
data = $dir/data
socket = $dir/api.sock
master_key = file:$dir/master.key
$([ "$(id -u)" != 0 ] || for r in keyd netd stored apid; do echo "user_$r = ${WARD_UID_BASE:-6410}$((i = ${i:-0} + 1))"; done)
[account main]
CONF
echo "first run: wrote $dir/ward.conf; link with: wardctl -s $dir/api.sock -a main account link"
