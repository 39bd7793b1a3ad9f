# Functions of the scripts in tests/callers/scripts, which tests/e2e/named_callers.rs runs. The variables are: user, socket,
# port and data directory of the server (U, S, P, D), the data directory to restore into (OUT), a file with a key (KEY).
set -euo pipefail

# Fails with a message: expect FOUND EXPECTED
expect() {
    [ "$1" = "$2" ] || { echo "found '$1', expected '$2'" >&2; exit 1; }
}

# Fails unless the text has the form of the extended regular expression: like TEXT REGEX
like() {
    [[ $1 =~ $2 ]] || { echo "found '$1', expected $2" >&2; exit 1; }
}

# Keeps the position that a prepared backup recorded, for the proof.
keep_position() {
    cp "$1/xtrabackup_binlog_info" position
}

# The type that a caller finds in a directory.
type_of() {
    awk '/^backup_type/ {print $3}' "$1/xtrabackup_checkpoints"
}
