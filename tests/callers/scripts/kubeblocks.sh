# Caller: KubeBlocks (addons mysql and apecloud-mysql)
# Reads: the line of the check point, between the quotes
take() {
    xtrabackup --backup --safe-slave-backup --slave-info --stream=xbstream --host=127.0.0.1 --port="$P" --user="$U" \
        --password= --datadir="$D" --compress=zstd "${@:2}" --target-dir=work 2>"$1.log" >"$1.xbstream"
}
backup() {
    mkdir work
    take full
    take incremental --incremental-lsn="$(grep "The latest check point (for incremental)" full.log | awk -F"'" '{print $2}')"
}
restore() {
    for name in full incremental; do
        mkdir "$name"
        xbstream -x -C "$name" <"$name.xbstream"
        xtrabackup --decompress --remove-original --target-dir="$name"
    done
    xtrabackup --prepare --apply-log-only --target-dir=full
    xtrabackup --prepare --target-dir=full --incremental-dir=incremental
    keep_position full
    xtrabackup --move-back --target-dir=full --datadir="$OUT"
}
