# Caller: Holland (plugin xtrabackup)
# Reads: the version by version\s*([\d.]+), major 8 or more; the dry run by --help ends with 1
backup() {
    like "$(xtrabackup --version 2>&1)" 'version[[:space:]]*(8|9|[1-9][0-9])\.'
    printf '!include %s\n[client]\nsocket=%s\n' "$HOME/.my.cnf" "$S" >my.cnf
    code=0
    xtrabackup --defaults-file=my.cnf --help >/dev/null || code=$?
    expect $code 1
    mkdir b
    xtrabackup --defaults-file=my.cnf --backup --target-dir=b/data --slave-info --safe-slave-backup --no-lock --strict=OFF \
        --unknown-of-an-administrator
}
restore() {
    xtrabackup --defaults-file=my.cnf --prepare --target-dir=b/data
    keep_position b/data
    mv b/data "$OUT"
}
