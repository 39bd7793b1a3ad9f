# Caller: puppetlabs-mysql (xtrabackup.sh), jzivari, mamisoa/autoxtrabackup8
# Reads: exit codes; the last line has "completed OK!"; --incremental is an ambiguous prefix
backup() {
    xtrabackup --user="$U" --password="" --compress --parallel=3 --compress-threads=3 --target-dir="$PWD/sunday_full" --backup \
        2>full.log
    tail -1 full.log | grep -q 'completed OK!'
    xtrabackup --user="$U" --password="" --compress --incremental-basedir="$PWD/sunday_full" --target-dir="$PWD/monday" --backup \
        2>incremental.log
    tail -1 incremental.log | grep -q 'completed OK!'
    code=0
    xtrabackup --user="$U" --backup --slave-info --compress --incremental --target-dir="$PWD/none" 2>wrong.log || code=$?
    expect $code 1
    ! grep -q "completed OK" wrong.log
}
restore() {
    for name in sunday_full monday; do
        xtrabackup --decompress --target-dir="$name"
    done
    xtrabackup --prepare --apply-log-only --target-dir=sunday_full
    xtrabackup --prepare --target-dir=sunday_full --incremental-dir=monday
    keep_position sunday_full
    xtrabackup --copy-back --target-dir=sunday_full --datadir="$OUT"
}
