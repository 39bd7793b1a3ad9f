# Caller: Percona Operator for XtraDB Cluster (garbd), RadonDB
# Reads: the MySQL version in --version; the objects of an incomplete stream; three fields of xtrabackup_binlog_info
put() {
    xbcloud put --storage=S3 --parallel=2 --md5 --insecure --s3-bucket-lookup=PATH --s3-bucket="$BUCKET" \
        --s3-endpoint="$AWS_ENDPOINT" --s3-region=us-east-1 --s3-access-key="$AWS_ACCESS_KEY_ID" \
        --s3-secret-key="$AWS_SECRET_ACCESS_KEY" "$1"
}
backup() {
    mkdir info target
    echo "data for the donor" >info/sst_info
    # This stream has no xtrabackup_tablespaces: its upload fails, and its objects must stay.
    xbstream -C info -c sst_info | put pxc/one.sst_info || true
    xbcloud get --storage=s3 --s3-bucket="$BUCKET" --insecure pxc/one.sst_info | xbstream -x -C target
    expect "$(cat target/sst_info)" "data for the donor"
    xtrabackup --backup --stream=xbstream --safe-slave-backup --slave-info --target-dir=target --socket="$S" --user="$U" \
        --password= | put pxc/one
}
restore() {
    like "$(xtrabackup --version 2>&1)" 'MySQL server[[:space:]]+[0-9]+\.[0-9]+\.[0-9]+'
    mkdir "$OUT"
    xbcloud get --insecure "s3://$BUCKET/pxc/one" | xbstream -x --decompress -C "$OUT" --parallel=2
    xtrabackup --defaults-file="$OUT/backup-my.cnf" --use-memory=3072M --prepare --apply-log-only --target-dir="$OUT"
    expect "$(tr -d '\n' <"$OUT/xtrabackup_binlog_info" | awk -F'\t' '{print NF}')" 3
    xtrabackup --use-memory=100M --prepare --xtrabackup-plugin-dir=/usr/lib64/xtrabackup/plugin --target-dir="$OUT"
    keep_position "$OUT"
}
