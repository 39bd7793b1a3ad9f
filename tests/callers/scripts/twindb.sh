# Caller: TwinDB Backup
# Reads: the line of the check point, field 11 counted from 0
take() {
    xtrabackup --defaults-file="$HOME/.my.cnf" --stream=xbstream --host=127.0.0.1 --backup --target-dir . "${@:2}" \
        >"$1.xbstream" 2>"$1.log"
}
backup() {
    take full
    lsn=$(awk '/The latest check point \(for incremental\):/ {gsub("\047", "", $12); print $12}' full.log)
    like "$lsn" '^[0-9]+$'
    take incremental --incremental-basedir . --incremental-lsn="$lsn"
}
restore() {
    mkdir "$OUT" incremental
    xbstream -x -C "$OUT" <full.xbstream
    xtrabackup --use-memory=134217728 --prepare --apply-log-only --target-dir "$OUT"
    xbstream -x -C incremental <incremental.xbstream
    xtrabackup --use-memory=134217728 --prepare --target-dir "$OUT" --incremental-dir incremental
    keep_position "$OUT"
}
