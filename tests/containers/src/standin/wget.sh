#!/bin/bash
# wget -q -O /dev/null http://HOST:PORT/PATH, for health checks: whether the answer is 200.
rest=${!#}
rest=${rest#http://}
place=${rest%%/*}
exec 3<> "/dev/tcp/${place%:*}/${place#*:}" || exit 1
printf 'GET /%s HTTP/1.0\r\n\r\n' "${rest#*/}" >&3
read -r line <&3 && [[ $line == *" 200 "* ]]
