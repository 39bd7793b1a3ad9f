# Caller: Percona Operator for MySQL (sidecar, run-restore.sh)
# Reads: the version; the size of the .md5 object; to_lsn in the raw stream of xbcloud get; exit codes
store="--storage=s3 --s3-bucket=$BUCKET"
cloud() {
    # shellcheck disable=SC2086
    xbcloud "$1" --parallel=10 --curl-retriable-errors=7 --insecure --md5 $store --s3-region=us-east-1 \
        --s3-access-key="$AWS_ACCESS_KEY_ID" --s3-secret-key="$AWS_SECRET_ACCESS_KEY" --s3-endpoint="$AWS_ENDPOINT" "${@:2}"
}
take() {
    xtrabackup --backup --stream=xbstream --safe-slave-backup --slave-info --target-dir="$PWD/backup/" \
        --databases-exclude=lost+found --user="$U" --password= --encrypt-key-file="$KEY" --encrypt=AES256 --compress "${@:2}" |
        cloud put "$1"
    [ "$(object "$1.md5" | wc -c)" -ge 3000 ]
}
object() {
    curl -sf --aws-sigv4 aws:amz:us-east-1:s3 --user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY" \
        -H "x-amz-content-sha256: UNSIGNED-PAYLOAD" "$AWS_ENDPOINT/$BUCKET/$1"
}
to_lsn() {
    cloud get "$1" xtrabackup_checkpoints | awk -F= '$1 ~ /to_lsn/ {gsub(/ /, "", $2); print $2}'
}
full=prod/c-2026-11-30-10:00:00-full
chain=$full.incr
backup() {
    take $full
    take $chain/c-2026-11-30-11:00:00-incr --incremental-lsn="$(to_lsn $full)"
    take $chain/c-2026-11-30-12:00:00-incr --incremental-lsn="$(to_lsn $chain/c-2026-11-30-11:00:00-incr)"
}
fetch() {
    # shellcheck disable=SC2086
    xbcloud get --curl-retriable-errors=7 --parallel=2 --insecure "$1" $store | xbstream -xv -C "$2" --parallel=2
    xtrabackup --decrypt=AES256 --encrypt-key-file="$KEY" --target-dir="$2" --parallel=2
    find "$2" -name '*.xbcrypt' -delete
    xtrabackup --decompress --remove-original --parallel=2 --target-dir="$2"
}
restore() {
    like "$(xtrabackup --version 2>&1 | awk '/^xtrabackup version/{print $3}' | awk -F'.' '{print $1"."$2}')" '^(8\.0|8\.4|9\..*)$'
    mkdir "$OUT"
    base=$(mktemp --directory "$OUT/restore_base_XXXX")
    fetch $full "$base"
    xtrabackup --prepare --apply-log-only --target-dir="$base"
    for n in 11 12; do
        incremental=$(mktemp --directory "$OUT/restore_incr${n}_XXXX")
        fetch "$chain/c-2026-11-30-$n:00:00-incr" "$incremental"
        only=--apply-log-only
        [ $n = 11 ] || only=
        # shellcheck disable=SC2086
        xtrabackup --prepare $only --target-dir="$base" --incremental-dir="$incremental"
        rm -rf "$incremental"
    done
    keep_position "$base"
    xtrabackup --datadir="$OUT" --move-back --force-non-empty-directories --target-dir="$base"
    rm -rf "$base"
}
