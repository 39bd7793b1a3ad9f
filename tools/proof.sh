# Functions of tools/demo and tools/demo-agent: SQL on the sandbox's servers, and the proof of a restored backup. They read
# the variables LSNAP, REPOSITORY, SOURCE, SERVER_OPTIONS, WORK (a directory), and END: the last GTID set of the source.

say()  { printf '\n\033[1m== %s\033[0m\n' "$*"; }
note() { printf '   %s\n' "$*"; }
fail() { printf '\nFAILED: %s\n' "$*" >&2; exit 1; }

# Prints one setting of a sandbox server.
setting() { tools/sandbox env "$1" --json | sed -n "s/.*\"$2\" *: *\"\{0,1\}\([^\",}]*\).*/\1/p" | head -n 1; }

# Runs SQL on a server: rows without headings, tab-separated.
q() {
    local name=$1; shift
    "$(setting "$name" BINDIR)/mysql" --no-defaults --user=root --socket="$(setting "$name" SOCKET)" \
        --batch --skip-column-names --raw --default-character-set=utf8mb4 -e "$*"
}

# Prints a value from lsnap's --json.
json() { sed -n "s/^ *\"$2\": *//p" "$1" | head -n 1 | sed 's/,$//; s/^"//; s/"$//'; }

# Prints the tables whose content is compared, each with one SELECT: the number of rows, and the sum
# of 60 bits of the SHA-256 of each row, independent of their order.
contents() {
    q "$1" "SET SESSION group_concat_max_len = 1000000;
        SELECT CONCAT('SELECT ''', TABLE_SCHEMA, '.', TABLE_NAME, ''', COUNT(*), SUM(CAST(CONV(LEFT(SHA2(CONCAT(',
            GROUP_CONCAT('COALESCE(SHA2(\`', COLUMN_NAME, '\`, 256), ''-'')' ORDER BY ORDINAL_POSITION),
            '), 256), 15), 16, 10) AS UNSIGNED)) FROM \`', TABLE_SCHEMA, '\`.\`', TABLE_NAME, '\`;')
        FROM information_schema.COLUMNS JOIN information_schema.TABLES USING (TABLE_SCHEMA, TABLE_NAME)
        WHERE TABLE_TYPE = 'BASE TABLE' AND TABLE_SCHEMA NOT IN ('mysql', 'sys', 'performance_schema', 'information_schema')
        GROUP BY TABLE_SCHEMA, TABLE_NAME ORDER BY TABLE_SCHEMA, TABLE_NAME" >"$WORK/$1.sql"
    q "$1" "$(cat "$WORK/$1.sql")"
}

check_tables() {
    local list
    list=$(q "$1" "SET SESSION group_concat_max_len = 1000000; SELECT GROUP_CONCAT('\`', TABLE_SCHEMA, '\`.\`', TABLE_NAME, '\`')
        FROM information_schema.TABLES WHERE TABLE_TYPE = 'BASE TABLE' AND ENGINE IN ('InnoDB', 'MyISAM', 'CSV')")
    q "$1" "CHECK TABLE $list EXTENDED" >"$WORK/$1.check"
    awk -F'\t' '$3 == "status" && $4 == "OK" { ok++; next } $3 == "note" && /support/ { next } { bad++; print > "/dev/stderr" }
        END { if (bad || !ok) exit 1; print ok }' "$WORK/$1.check"
}

# Replays the source's binary log from a position to the end, and waits for it.
replay() {
    local name=$1 file=$2 position=$3 error i
    q "$name" "CHANGE REPLICATION SOURCE TO SOURCE_HOST='127.0.0.1', SOURCE_PORT=$(setting $SOURCE PORT),
        SOURCE_USER='repl', SOURCE_PASSWORD='repl', GET_SOURCE_PUBLIC_KEY=1, SOURCE_AUTO_POSITION=0,
        SOURCE_LOG_FILE='$file', SOURCE_LOG_POS=$position; START REPLICA"
    for ((i = 0; i < 300; i++)); do
        [ "$(q "$name" "SELECT WAIT_FOR_EXECUTED_GTID_SET('$END', 1)")" = 0 ] && { q "$name" "STOP REPLICA"; return; }
        error=$(q "$name" "SELECT LAST_ERROR_MESSAGE FROM performance_schema.replication_applier_status_by_worker
            WHERE LAST_ERROR_NUMBER <> 0 UNION SELECT LAST_ERROR_MESSAGE FROM performance_schema.replication_connection_status
            WHERE LAST_ERROR_NUMBER <> 0")
        [ -z "$error" ] || fail "replay on $name: $error"
    done
    fail "$name did not catch up with the source"
}

# Restores one member, starts a server on it and compares it with the source.
prove() {
    local name=$1 member=$2 recorded found file position datadir=$WORK/$1 checked
    file=$(json "$WORK/$member.json" file) position=$(json "$WORK/$member.json" position)
    "$LSNAP" restore --repo "$REPOSITORY" "$(json "$WORK/$member.json" name)" --datadir "$datadir" \
        --owner "$(id -u)" --redo-applier mysqld --mysqld "$(setting $SOURCE BINDIR)/mysqld"
    tools/sandbox start "$name" --datadir="$datadir" --server-id=2 --skip-replica-start "${SERVER_OPTIONS[@]}"
    recorded=$(json "$WORK/$member.json" gtid_executed | sed 's/\\n//g')
    found=$(q "$name" "SELECT REPLACE(@@global.gtid_executed, '\n', '')")
    [ "$(q "$name" "SELECT GTID_SUBSET('$recorded', '$found') AND GTID_SUBSET('$found', '$recorded')")" = 1 ] ||
        fail "gtid_executed is $found, recorded was $recorded"
    note "gtid_executed is exactly the recorded one: $found"
    checked=$(check_tables "$name") || fail "CHECK TABLE on $name found something"
    note "CHECK TABLE ... EXTENDED: $checked tables, all OK"
    replay "$name" "$file" "$position"
    note "the source's binary log was replayed from $file position $position to its end"
    contents "$name" >"$WORK/$name.contents"
    diff "$WORK/$SOURCE.contents" "$WORK/$name.contents" >&2 || fail "$name differs from the source"
    note "rows and checksums of $(wc -l <"$WORK/$name.contents") tables equal the source's"
    if grep -F '[ERROR]' "$(setting "$name" ERRLOG)" >&2; then fail "errors in the log of $name"; fi
    note "no error in its log"
    tools/sandbox reset "$name" >/dev/null
}
