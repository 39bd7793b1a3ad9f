# Caller: asamofal/xtrabackup-assistant
# Reads: the version by "xtrabackup version (\S+) based on MySQL server"; a time as the first word of each line
backup() {
    like "$(xtrabackup --version 2>&1)" 'xtrabackup version [^ ]+ based on MySQL server'
    mkdir target
    xtrabackup --backup --stream=xbstream --compress --parallel=2 --compress-threads=5 --user="$U" --password= --host=localhost \
        --target-dir=target >full.xbstream 2>full.log
    while read -r line; do
        date -d "${line%% *}" +%s >/dev/null
    done <full.log
}
restore() {
    mkdir "$OUT"
    xbstream -x -C "$OUT" <full.xbstream
    xtrabackup --decompress --target-dir="$OUT" --parallel=2 --decompress-threads=5 --remove-original
    xtrabackup --prepare --target-dir="$OUT"
    keep_position "$OUT"
}
