#!/bin/sh
# in-cluster.sh CONFIG TO: the edge's configuration for a pod, in the folder TO. Name servers and the cluster's domain are
# those that the pod itself was given (/etc/resolv.conf, or RESOLV_CONF): no name of a cluster is written down anywhere.
set -eu
known=${RESOLV_CONF:-/etc/resolv.conf}

servers=$(awk '$1 == "nameserver" { print ($2 ~ /:/) ? "[" $2 "]" : $2 }' "$known" | tr '\n' ' ')
# The first domain that names are looked for in is that of the namespace's services.
domain=$(awk '$1 == "search" { print $2; exit }' "$known")
if [ -z "$servers" ] || [ -z "$domain" ]; then
    echo "in-cluster.sh: $known names no name server, or no domain to look for names in" >&2
    exit 1
fi

cp "$1/nginx.conf" "$2/nginx.conf"
cat > "$2/gateways.conf" <<EOF
resolver ${servers}valid=2s;
server gateway.$domain:8443 resolve max_fails=1 fail_timeout=2s;
EOF
