# Caller: wsrep_sst_xtrabackup-v2 of Percona XtraDB Cluster, off a cluster
# Reads: the version by [0-9]\.[0-9][\.0-9]*; --version-check in the help; xtrabackup_checkpoints; a log inside of the target
backup() {
    like "$(xtrabackup --version 2>&1 | grep -oe '[0-9]\.[0-9][\.0-9]*' | head -n1)" '^8\.[0-9]'
    (xtrabackup --help || true) | grep -- --version-check >help
    mkdir tmp
    xtrabackup --defaults-file="$HOME/.my.cnf" --defaults-group=mysqld --no-version-check --parallel=2 --socket="$S" \
        --user="$U" --password= --backup --galera-info --stream=xbstream --target-dir=tmp 2>innobackup.backup.log >full.xbstream
}
restore() {
    mkdir -p "$OUT/.sst"
    xbstream -x -C "$OUT/.sst" <full.xbstream
    [ -r "$OUT/.sst/xtrabackup_checkpoints" ]
    xtrabackup --no-version-check --prepare --target-dir="$OUT/.sst" &>"$OUT/.sst/innobackup.prepare.log"
    keep_position "$OUT/.sst"
    xtrabackup --defaults-file="$HOME/.my.cnf" --defaults-group=mysqld --no-version-check --datadir="$OUT" --move-back \
        --force-non-empty-directories --target-dir="$OUT/.sst" &>"$OUT/.sst/innobackup.move.log"
    rm -r "$OUT/.sst"
}
