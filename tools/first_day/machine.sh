# Parts of tools/first-day: the machine and its servers. Uses the variables and functions of that file.
# shellcheck shell=bash

MY_CNF='[mysqld]
user = mysql
datadir = /var/lib/mysql
socket = /run/mysqld/mysqld.sock
pid-file = /run/mysqld/mysqld.pid
log-error = /var/log/mysql/error.log
secure-file-priv =
mysqlx = OFF
server-id = 1
gtid-mode = ON
enforce-gtid-consistency = ON
innodb-buffer-pool-size = 64M

[client]
socket = /run/mysqld/mysqld.sock
'
# As in the package of MySQL, but for sandboxing.
MYSQL_SERVICE='[Unit]
Description=MySQL Server
[Service]
User=mysql
Group=mysql
RuntimeDirectory=mysqld
RuntimeDirectoryMode=755
ExecStart=/usr/sbin/mysqld
ExecStartPost=/bin/sh -c "until mysqladmin --no-defaults --socket=/run/mysqld/mysqld.sock ping >/dev/null 2>&1; do sleep 0.1; done"
TimeoutStartSec=120
[Install]
WantedBy=multi-user.target
'
DATA='CREATE DATABASE shop; USE shop;
CREATE TABLE customers (id INT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(40));
CREATE TABLE orders (id INT PRIMARY KEY AUTO_INCREMENT, customer INT, total DECIMAL(8,2), note VARCHAR(200), KEY (customer));
SET SESSION cte_max_recursion_depth = 20000;
INSERT INTO customers (name) WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
    SELECT CONCAT("customer ", i) FROM n;
INSERT INTO orders (customer, total, note) WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
    SELECT i % 1000 + 1, i / 7, REPEAT(SHA2(i, 256), 2) FROM n;
CREATE USER repl@"%" IDENTIFIED BY "SECRET"; GRANT REPLICATION SLAVE ON *.* TO repl@"%";'

make_machine() {
    local root=$WORK/root name
    mkdir "$root"
    tar -C "$root" --exclude='./dev/*' -xf "$BASE"
    # MySQL of tools/sandbox, with the names and places that Debian's packages give it.
    mkdir -p "$root/opt" "$root/etc/mysql" "$root/var/lib/mysql" "$root/var/log/mysql"
    cp -al .sandbox/mysql "$root/opt/mysql" 2>/dev/null || cp -a .sandbox/mysql "$root/opt/"
    ln -s /opt/mysql/bin/mysqld "$root/usr/sbin/mysqld"
    for name in mysql mysqladmin mysqlbinlog; do ln -s "/opt/mysql/bin/$name" "$root/usr/bin/$name"; done
    printf '%s' "$MY_CNF" >"$root/etc/mysql/my.cnf"
    printf '%s' "$MYSQL_SERVICE" >"$root/etc/systemd/system/mysql.service"
    printf '127.0.0.1 localhost db1 %s\n' "$S3 $BUCKET.$S3" >"$root/etc/hosts"
    echo db1 >"$root/etc/hostname"
    chroot "$root" adduser --quiet --system --group --home /nonexistent --no-create-home --shell /bin/false mysql 2>/dev/null ||
        chroot "$root" useradd --system --user-group --home-dir /nonexistent --shell /bin/false mysql
    chroot "$root" install -d -m 750 -o mysql -g mysql /var/lib/mysql /var/log/mysql
    # An authority that the machine trusts, and a certificate of it for the S3 server.
    mkdir "$WORK/tls"
    (
        cd "$WORK/tls"
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=authority of the first day" \
            -keyout ca.key -out ca.pem -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign
        openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$S3" -keyout key.pem -out cert.csr
        printf 'subjectAltName=DNS:%s,DNS:*.%s\nextendedKeyUsage=serverAuth\n' "$S3" "$S3" >ext
        openssl x509 -req -in cert.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile ext -out cert.pem
    ) 2>"$WORK/tls/log" || { cat "$WORK/tls/log" >&2; fail "no certificate could be made"; }
    cp "$WORK/tls/ca.pem" "$root/usr/local/share/ca-certificates/first-day.crt"
    chroot "$root" update-ca-certificates >/dev/null 2>&1
}

# Starts a server of moto on the machine's network; it is not on the machine itself.
start_moto() {
    nsenter --target "$FIRST" --net env PYTHONDONTWRITEBYTECODE=1 "$(tools/stores dir)/venv/bin/python" tests/stores/moto_atomic.py "$@" \
        >>"$WORK/moto.log" 2>&1 &
    STORES+=($!)
}

# Succeeds if systemd has started; FIRST is the machine's first process then.
is_up() {
    FIRST=$(tr -d ' ' <"/proc/$MACHINE/task/$MACHINE/children")
    [ -n "$FIRST" ] && [ "$(cat "/proc/$FIRST/comm")" = systemd ] &&
        on '{ systemctl is-system-running || true; } | grep -qE "running|degraded"'
}

boot_machine() {
    tools/first_day/boot "$WORK/root" "$WORK/group" >"$WORK/boot.log" 2>&1 &
    MACHINE=$!
    local limit=$((SECONDS + 60))
    until is_up 2>/dev/null; do
        kill -0 "$MACHINE" 2>/dev/null && [ $SECONDS -lt $limit ] || { cat "$WORK/boot.log" >&2; fail "systemd did not start"; }
        sleep 0.1
    done
    nsenter --target "$FIRST" --net ip address add "$METADATA/32" dev lo
    start_moto -H 127.0.0.1 -p 443 -c "$WORK/tls/cert.pem" -k "$WORK/tls/key.pem"
    # The credentials of an instance's role.
    start_moto -H "$METADATA" -p 80
    on "mysqld --initialize-insecure && systemctl enable --quiet --now mysql"
    sql "$DATA"
    limit=$((SECONDS + 60))
    # Another name of the host: moto wants no region for a bucket there.
    until store "https://$S3/$BUCKET" -X PUT --header "Host: localhost" &&
        store "http://$METADATA/latest/api/token" -X PUT; do
        [ $SECONDS -lt $limit ] || { cat "$WORK/moto.log" >&2; fail "the S3 server does not respond"; }
        sleep 0.2
    done
}

# Sends a request to the S3 server, which accepts every signature.
store() {
    nsenter --target "$FIRST" --net curl --silent --fail --output /dev/null --cacert "$WORK/tls/ca.pem" --noproxy '*' \
        --connect-to "$S3:443:127.0.0.1:443" --header "Authorization: AWS4-HMAC-SHA256 \
Credential=x/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0" "$@"
}

# Prints the number of rows and a checksum of each table.
contents() { sql "CHECKSUM TABLE shop.customers, shop.orders; SELECT COUNT(*) FROM shop.orders" "${1:-}"; }

# Prints the lines to type of the report of a restore, of the step that begins with $1.
typed() {
    awk -v text="$1" '/^  [0-9]+\. / { here = index($0, text) } here && sub(/^      /, "")' "$WORK/restore.report" | grep . ||
        { cat "$WORK/restore.report" >&2; fail "the report of the restore has no lines to type for: $1"; }
}

# Restores next to the running server by the line of the quick start; without a terminal the report needs --verbose.
restore_beside() {
    local command
    command=$(page quick-start.md block "## 6" sh)
    printf '   > %s\n' "$command"
    on "$command --verbose" >"$WORK/restore.report"
    sed 's/^/   | /' "$WORK/restore.report"
}

# Starts the restored server by the command of its report, and makes it a replica by the statements of the report.
replica() {
    local socket="--socket /var/lib/mysql-restored/mysqld.sock" executed
    on "systemd-run --quiet --unit restored $(typed "Start") --port 3307"
    until_true 60 "mysql $socket -e 'SELECT 1'"
    sql "$(typed "To make it a replica" | sed "s/<server_id>/2/; s/<user>/'repl'/; s/<password>/'SECRET'/")" "$socket"
    executed=$(sql "SELECT @@global.gtid_executed")
    expect "the wait of the replica for the source's transactions" \
        "$(sql "SELECT WAIT_FOR_EXECUTED_GTID_SET('$executed', 60)" "$socket")" 0
    expect "contents of the replica" "$(contents "$socket")" "$(contents)"
    on "systemctl stop restored && rm -rf /var/lib/mysql-restored"
}
