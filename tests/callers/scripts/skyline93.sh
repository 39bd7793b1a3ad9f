# Caller: skyline93/mysql-xtrabackup
# Reads: from_lsn and to_lsn in the extracted xtrabackup_checkpoints
take() {
    xtrabackup --backup --throttle=100 --login-path=backup --datadir="$D" --stream=xbstream --compress "${@:2}" >"$1.xbstream"
    mkdir "$1"
    xbstream -x -C "$1" <"$1.xbstream"
}
backup() {
    take full
    to=$(awk -F' = ' '/^to_lsn/ {print $2}' full/xtrabackup_checkpoints)
    take incremental --incremental-lsn="$to"
    expect "$(awk -F' = ' '/^from_lsn/ {print $2}' incremental/xtrabackup_checkpoints)" "$to"
}
restore() {
    for name in full incremental; do
        xtrabackup --decompress --target-dir="$name"
    done
    xtrabackup --prepare --apply-log-only --target-dir=full
    xtrabackup --prepare --target-dir=full --incremental-dir=incremental
    keep_position full
    xtrabackup --copy-back --target-dir=full --datadir="$OUT"
}
