# Caller: KevinWang15/xtrabackup-scheduler
# Reads: exit codes
take() {
    xtrabackup --backup --user="$U" --password= --host=127.0.0.1 --port="$P" --no-lock --target-dir="$@"
}
backup() {
    take base
    take inc1 --incremental-basedir=base
    take inc2 --incremental-basedir=inc1
}
restore() {
    xtrabackup --prepare --apply-log-only --target-dir=base
    for name in inc1 inc2; do
        xtrabackup --prepare --apply-log-only --target-dir=base --incremental-dir="$name"
        rm -r "$name"
    done
    expect "$(type_of base)" log-applied
    xtrabackup --prepare --target-dir=base
    expect "$(type_of base)" full-prepared
    keep_position base
    xtrabackup --copy-back --target-dir=base --datadir="$OUT"
}
