# Caller: DigitalOcean's scripts (do-community/ubuntu-1604-mysql-backup)
# Reads: to_lsn in the --extra-lsndir, field 3; the last line has "completed OK"; as many of these lines as runs
take() {
    xtrabackup --defaults-file="$HOME/.my.cnf" --backup --extra-lsndir=day --compress --stream=xbstream --encrypt=AES256 \
        --encrypt-key-file="$KEY" --parallel=2 --compress-threads=2 --encrypt-threads=2 --slave-info "${@:2}" \
        --target-dir=day >"$1.xbstream" 2>"$1.log"
    tail -1 "$1.log" | grep -q "completed OK"
}
backup() {
    mkdir day
    take full
    for n in 1 2; do
        take "incremental-$n" --incremental-lsn="$(awk '/to_lsn/ {print $3;}' day/xtrabackup_checkpoints)"
    done
}
restore() {
    for name in full incremental-1 incremental-2; do
        mkdir "$name"
        xbstream -x -C "$name" <"$name.xbstream"
        xtrabackup --parallel=2 --decrypt=AES256 --encrypt-key-file="$KEY" --decompress --target-dir="$name" 2>>extract.log
        find "$name" -name '*.xbcrypt' -delete
        find "$name" -name '*.zst' -delete
    done
    expect "$(grep -c 'completed OK' extract.log)" 3
    xtrabackup --prepare --apply-log-only --target-dir=full 2>>prepare.log
    for n in 1 2; do
        xtrabackup --prepare --apply-log-only --incremental-dir="incremental-$n" --target-dir=full 2>>prepare.log
    done
    xtrabackup --prepare --target-dir=full 2>>prepare.log
    expect "$(grep -c 'completed OK' prepare.log)" 4
    keep_position full
    # The data directory is in the machine's own option file.
    mkdir other
    printf '[mysqld]\ndatadir=%s\n' "$OUT" >other/.my.cnf
    HOME=$PWD/other xtrabackup --copy-back --target-dir=full 2>copy.log
}
