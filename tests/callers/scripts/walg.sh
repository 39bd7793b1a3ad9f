# Caller: WAL-G (xtrabackup-push, backup-fetch)
# Reads: from_lsn, to_lsn and last_lsn in the --extra-lsndir; the GTIDs in field 3 of xtrabackup_binlog_info
lsn() {
    awk -F' = ' -v key="$2" '$1 == key {print $2}' "$1/xtrabackup_checkpoints"
}
take() {
    mkdir "extra-$1"
    sh -c "xtrabackup --backup --stream=xbstream --datadir=$D --extra-lsndir=$PWD/extra-$1 ${2:-}" >"$1.xbstream"
}
backup() {
    take full
    expect "$(lsn extra-full from_lsn)" 0
    take first "--incremental-lsn=$(lsn extra-full to_lsn)"
    expect "$(lsn extra-first from_lsn)" "$(lsn extra-full to_lsn)"
    take second "--incremental-lsn=$(lsn extra-first to_lsn)"
    [ "$(lsn extra-second last_lsn)" -ge "$(lsn extra-second to_lsn)" ]
}
restore() {
    mkdir "$OUT" first second
    sh -c "xbstream -x -C $OUT" <full.xbstream
    sh -c "xtrabackup --prepare --target-dir=$OUT --apply-log-only"
    sh -c "xbstream -x -C first" <first.xbstream
    sh -c "xtrabackup --prepare --target-dir=$OUT --incremental-dir=first --apply-log-only"
    rm -r first
    sh -c "xbstream -x -C second" <second.xbstream
    sh -c "xtrabackup --prepare --target-dir=$OUT --incremental-dir=second"
    rm -r second
    like "$(tr -d '\n' <"$OUT/xtrabackup_binlog_info" | awk '{print $3}')" ':1-[0-9]'
    keep_position "$OUT"
}
