# Runs one database server for its parent: `sh -c <this> supervisor LOG PROGRAM ARGUMENT...`.
#
# The parent holds the other end of standard input. Each line on it is a signal to pass on; its end means
# that the parent is gone, however it died, and the server is stopped. The server's process id is printed.
log="$1"
shift
exec 3<&0
"$@" </dev/null 3<&- >>"$log" 2>&1 &
server=$!
echo "$server"
(
    while read -r signal <&3; do kill -s "$signal" "$server"; done
    kill -s CONT "$server"
    kill -s TERM "$server"
    tries=0
    while [ "$tries" -lt 100 ] && kill -s 0 "$server"; do
        sleep 0.1
        tries=$((tries + 1))
    done
    kill -s KILL "$server"
) >/dev/null 2>&1 &
watcher=$!
exec >/dev/null 2>&1 3<&-
wait "$server"
status=$?
kill "$watcher"
exit "$status"
