#!/bin/sh
# Publishes one event over the HTTP gateway, and tells the verdict: sh publish.sh TYPE FILE [ID]
set -eu
type=$1 file=$2
id=${3:-$(cat /proc/sys/kernel/random/uuid 2>/dev/null || uuidgen | tr 'A-Z' 'a-z')}
language=${GATEWAY_LANGUAGE:-vi}
answer=$(mktemp)
trap 'rm -f "$answer"' EXIT

# Binary mode: the file is the body, the rest goes into headers. curl waits as Retry-After says, and the id stays the
# same over all attempts, so nothing doubles.
status=$(curl --silent --show-error --output "$answer" --write-out '%{http_code}' \
  --retry 8 --retry-all-errors --retry-max-time 120 --max-time 30 \
  --header "Authorization: Bearer $GATEWAY_KEY" --header "Accept-Language: $language" \
  --header 'Content-Type: application/json' \
  --header 'ce-specversion: 1.0' --header "ce-id: $id" --header "ce-source: $GATEWAY_SOURCE" \
  --header "ce-type: portalbus.events.$type" \
  --data-binary "@$file" "$GATEWAY_URL/v1/events") || { echo "no answer for $id" >&2; exit 2; }
echo "$status $(cat "$answer")"
case $status in
  202) ;;
  4*) exit 1 ;;
  *) exit 2 ;;
esac

# The verdict: the question waits at the gateway until there is one.
curl --silent --show-error --fail --output "$answer" --retry 3 --retry-all-errors --max-time 60 \
  --header "Authorization: Bearer $GATEWAY_KEY" \
  "$GATEWAY_URL/v1/verdicts?portal=${GATEWAY_SOURCE##*/}&event_id=$id&wait=30" || exit 2
echo "verdict $(cat "$answer")"
if grep -q '"status":"REJECTED"' "$answer"; then exit 1; fi
grep -q '"status":"' "$answer" || exit 2
