# Caller: bitpoke/mysql-operator
# Reads: exit codes; the position in xtrabackup_binlog_info
backup() {
    mkdir target
    xtrabackup --backup --slave-info --stream=xbstream --tables-exclude='^sys_operator\.heartbeat$' --host=127.0.0.1 --port="$P" \
        --user="$U" --password= --target-dir=target >full.xbstream
}
restore() {
    mkdir "$OUT"
    xbstream --extract --directory="$OUT" <full.xbstream
    xtrabackup --prepare --target-dir="$OUT"
    keep_position "$OUT"
}
