#!/usr/bin/env bash
# Records the incidents of the example shops: `cargo xtask examples record [NAME…]` builds, and calls this as root.
#
#   record.sh DIRECTORY NAME…     DIRECTORY: where infernosim, shop-dependencies, shop-rust and shop-go are
#
# Each shop is captured in a network namespace, its dependencies and the customer are in another one. Nothing in an
# incident names this machine: the host is `shop`, the user `nobody`, programs lie in /srv, addresses are 10.77.0.x, and
# the resolver knows shop.test and what is under it. What was made goes with the processes of this script.
set -euo pipefail
if [ "${RECORDING:-}" != yes ]; then
    RECORDING=yes exec unshare --mount --uts --net -- "$0" "$@"
fi
examples=$(dirname "$(realpath "$0")")
directory=$1
shift

started=()
trap '[ ${#started[@]} = 0 ] || kill "${started[@]}" 2>/dev/null || true' EXIT

hostname shop
mount -t tmpfs tmpfs /srv
install -m 755 "$directory"/{infernosim,shop-dependencies,shop-rust,shop-go} "$examples"/shop-{python/shop.py,node/shop.js} /srv
echo 'nameserver 10.77.0.2' >/srv/resolv.conf
mount --bind /srv/resolv.conf /etc/resolv.conf
printf '127.0.0.1 localhost\n10.77.0.1 shop\n' >/srv/hosts
mount --bind /srv/hosts /etc/hosts
cd /srv

# This namespace is the shop's, at 10.77.0.1; the world's has 10.77.0.2 for its resolver, .3, .4 and .5 for services.
unshare --net -- sleep infinity &
world=$!
started+=("$world")
until [ "$(readlink /proc/$world/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.01; done
in_the_world() { exec nsenter --net --target "$world" -- "$@"; }
ip link add cable type veth peer name cable netns "$world"
ip link set lo up
ip addr add 10.77.0.1/24 dev cable
ip link set cable up
(in_the_world ip link set lo up)
for host in 2 3 4 5; do (in_the_world ip addr add 10.77.0.$host/24 dev cable); done
(in_the_world ip link set cable up)

in_the_world dnsmasq --keep-in-foreground --conf-file=/dev/null --no-resolv --no-hosts --pid-file= --user=root \
    --listen-address=10.77.0.2 --bind-interfaces --local=/test/ --host-record=shop.test,10.77.0.1,300 \
    --host-record=inventory.shop.test,10.77.0.3,300 --host-record=payments.shop.test,10.77.0.4,300 \
    --host-record=courier.shop.test,10.77.0.5,300 &
started+=($!)
export HOST=0.0.0.0 PORT=8080 SUDO_UID=65534 SUDO_GID=65534 SUDO_USER=nobody
export INVENTORY_URL=http://inventory.shop.test PAYMENTS_URL=http://payments.shop.test COURIER_URL=http://courier.shop.test

wait_for() { # FILE TEXT
    for _ in $(seq 500); do grep -qs "$2" "$1" && return; sleep 0.02; done
    echo "record.sh: waited in vain for \"$2\" in $1" >&2
    exit 1
}

for name in "$@"; do
    case $name in
    shop-python) command=(/usr/bin/python3 /srv/shop.py) ;;
    shop-node) command=(/usr/bin/node /srv/shop.js) ;;
    shop-go | shop-rust) command=("/srv/$name") ;;
    *) echo "record.sh: there is no $name" >&2 && exit 2 ;;
    esac
    # New ones for each: the courier counts.
    services=()
    for service in inventory:3 payments:4 courier:5; do
        in_the_world ./shop-dependencies "${service%:*}" --listen "10.77.0.${service#*:}:80" >"${service%:*}.out" &
        services+=($!) started+=($!)
        wait_for "${service%:*}.out" listening
    done
    place=recorded-$name
    mkdir "$place" && chown 65534:65534 "$place"
    ./infernosim capture --incident "$place/incident" -- "${command[@]}" >"$place.out" &
    capture=$!
    started+=("$capture")
    wait_for "$place.out" listening
    (in_the_world ./shop-dependencies customer --shop http://shop.test:8080)
    kill -TERM "$capture" # passes it on to the shop, whose end it awaits
    wait "$capture"
    kill "${services[@]}"

    # Which kernel it was says something of this machine only. Secrets are for nobody else: without secrets.json the
    # tokens in the logs stand for nothing.
    kept=$examples/$name/incident
    rm -rf "$kept" && mkdir "$kept"
    sed 's/"kernel": "[^"]*"/"kernel": "6.12.0"/' "$place/incident/incident.json" >"$kept/incident.json"
    cp "$place/incident"/{inbound,outbound}.log "$kept"
    chmod 644 "$kept"/*
    chown -R --reference="$examples/$name" "$kept"
done
