# Caller: Percona-QA/percona-qa (backup_tests), Percona's package-testing
# Reads: "completed OK!"; --version of every program
take() {
    xtrabackup --no-defaults --user=root --password='' --backup --target-dir="$1" -S "$S" --datadir="$D" --lock-ddl "${@:2}" \
        2>"$1.log"
    grep -q "completed OK!" "$1.log"
}
backup() {
    for program in xtrabackup xbstream xbcrypt; do
        $program --version
    done
    take full --compress=lz4 --compress-threads=10
    take incremental --incremental-basedir=full
    xtrabackup --no-defaults --user=root -S "$S" --backup --stream=xbstream --parallel=10 --encrypt=AES256 \
        --encrypt-key="$(cat "$KEY")" --target-dir=unused >sealed.xbstream
}
restore() {
    mkdir sealed
    xbstream --directory=sealed --extract --decrypt=AES256 --encrypt-key="$(cat "$KEY")" <sealed.xbstream
    xtrabackup --prepare --target-dir=sealed --xtrabackup-plugin-dir=/usr/lib64/xtrabackup/plugin
    expect "$(type_of sealed)" full-prepared
    xtrabackup --no-defaults --decompress --target-dir=full
    xtrabackup --no-defaults --prepare --apply-log-only --target_dir=full --lock-ddl
    xtrabackup --no-defaults --prepare --target_dir=full --incremental-dir=incremental --lock-ddl
    keep_position full
    xtrabackup --no-defaults --copy-back --target-dir=full --datadir="$OUT" --lock-ddl
}
