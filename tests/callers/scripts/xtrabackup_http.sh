# Caller: discordianfish/xtrabackup-http
# Reads: exit codes
backup() {
    xtrabackup --no-defaults --datadir="$D" --socket="$S" --stream=xbstream --backup --user "$U" >full.xbstream 2>full.log
    lsn=$(awk -F"'" '/The latest check point/ {print $2}' full.log)
    xtrabackup --no-defaults --datadir="$D" --socket="$S" --stream=xbstream --backup --user "$U" --incremental-lsn "$lsn" \
        >incremental.xbstream
}
restore() {
    mkdir "$OUT" incremental
    xbstream -x -C "$OUT" <full.xbstream
    xbstream -x -C incremental <incremental.xbstream
    xtrabackup --prepare --apply-log-only --target-dir="$OUT"
    xtrabackup --prepare --target-dir="$OUT" --incremental-dir=incremental
    keep_position "$OUT"
}
