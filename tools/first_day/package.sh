# Parts of tools/first-day: the package, its files and its units. Uses the variables and functions of that file.
# shellcheck shell=bash

TIMERS="lsnap-backup.timer lsnap-verify.timer"

# Installs the package by the line of docs/install.md.
install_package() {
    mkdir -p "$WORK/root/root/target/dist"
    cp "$DEB" "$WORK/root/root/target/dist/"
    run_page install.md line "apt install" >"$WORK/apt.log" 2>&1 || { tail -n 20 "$WORK/apt.log" >&2; fail "the package could not be installed"; }
    on "lsnap --version"
    local state
    for state in $TIMERS; do
        expect "state of $state after a first installation" "$(on "systemctl is-enabled $state || true")" disabled
    done
}

# The manual pages render without warnings, the completions of three shells complete a command, the units are accepted.
check_files() {
    local page warnings count=0
    for page in $(on "dpkg -L lsnap" | grep '/man1/.*\.gz'); do
        warnings=$(on "MANWIDTH=80 man --warnings --local-file $page 2>&1 >/dev/null")
        expect "warnings of $page" "$warnings" ""
        count=$((count + 1))
    done
    [ $count -ge 20 ] || fail "the package has $count manual pages, expected at least 20"
    on "MANWIDTH=80 man lsnap-backup" | grep -q -- --incremental || fail "man lsnap-backup does not show --incremental"
    expect "completions of bash" "$(on '
        . /usr/share/bash-completion/bash_completion
        _comp_load lsnap 2>/dev/null || _completion_loader lsnap || true
        f=$(complete -p lsnap | sed "s/.* -F \([^ ]*\).*/\1/")
        COMP_WORDS=(lsnap back) COMP_CWORD=1 COMP_LINE="lsnap back" COMP_POINT=10
        "$f" lsnap back lsnap
        echo "${COMPREPLY[*]}"')" backup
    expect "completions of fish" "$(on 'fish -c "complete -C \"lsnap back\"" | cut -f1')" backup
    on_input "zsh -f" <tools/first_day/complete.zsh || fail "the completion of zsh did not complete 'lsnap back'"
    on "systemd-analyze verify $(printf '/usr/lib/systemd/system/%s ' $TIMERS lsnap-backup.service lsnap-verify.service)"
    # 0 is a service that can do nothing, 10 one without restrictions.
    on "systemd-analyze security --no-pager --threshold=25 lsnap-backup.service lsnap-verify.service" >"$WORK/security.log" ||
        { cat "$WORK/security.log" >&2; fail "the units leave more than an exposure of 2.5"; }
    grep -h 'Overall exposure' "$WORK/security.log" | sed 's/^[^A-Za-z]*/   /'
}

drop_in() { # drop_in LINES: for lsnap-backup.service, as systemctl edit would write it
    mkdir -p "$WORK/root/etc/systemd/system/lsnap-backup.service.d"
    printf '[Service]\n%s\n' "$1" >"$WORK/root/etc/systemd/system/lsnap-backup.service.d/override.conf"
    on "systemctl daemon-reload"
}

# The backup service under its restrictions, and with the drop-ins of docs/schedule.md.
services() {
    local seen
    # The restrictions are in force, and the credentials of a role are not needed if a file has some.
    drop_in "ExecStartPre=/bin/sh -c 'cat /proc/self/status; touch /etc/written /var/written /root/written; ls -a /root /home'
$(page schedule.md code Environment=AWS_SHARED_CREDENTIALS_FILE)
Environment=AWS_EC2_METADATA_DISABLED=true"
    printf '[default]\naws_access_key_id = AKIDFILE\naws_secret_access_key = x\n' |
        on_input "install -m 600 -o mysql /dev/stdin /etc/lsnap/aws-credentials"
    sed -i "s/^ExecStartPre=/ExecStartPre=-/" "$WORK/root/etc/systemd/system/lsnap-backup.service.d/override.conf"
    on "systemctl daemon-reload && systemctl start lsnap-backup.service"
    seen=$(on "journalctl --no-pager --output cat -u lsnap-backup.service")
    for line in "Uid:.*$(on "id -u mysql")" 'CapBnd:.0000000000000000' 'NoNewPrivs:.1' 'Seccomp:.2' \
        "cannot touch '/etc/written': Read-only" "cannot touch '/var/written': Read-only" "cannot touch '/root/written'"; do
        grep -q -- "$line" <<<"$seen" || { printf '%s\n' "$seen" >&2; fail "in the service's output: expected $line"; }
    done
    # A repository in a directory is read-only without the drop-in.
    on "install -d -m 700 -o mysql -g mysql /var/backups/mysql"
    drop_in "Environment=LSNAP_REPO=file:///var/backups/mysql"
    ! on "systemctl start lsnap-backup.service" 2>/dev/null || fail "a backup into a directory succeeded without ReadWritePaths"
    on "systemctl reset-failed lsnap-backup.service"
    drop_in "Environment=LSNAP_REPO=file:///var/backups/mysql
$(page schedule.md code ReadWritePaths=)"
    on "systemctl start lsnap-backup.service"
    on "lsnap list --repo file:///var/backups/mysql" | tail -n 1
    other_user
    on "chown mysql /etc/lsnap/backup.cnf /etc/lsnap/backup.key"
    rm -r "$WORK/root/etc/systemd/system/lsnap-backup.service.d"
    on "systemctl daemon-reload && lsnap backup" | tail -n 1
}

# The metrics of the docs, written by the service.
metrics() {
    local file
    file=$(page schedule.md block "## Prometheus" toml | tee -a "$WORK/root/etc/lsnap/lsnap.toml" | sed -n 's/^textfile = "\(.*\)"/\1/p')
    on "install -d -o mysql ${file%/*} && systemctl restart lsnap-backup.service"
    on "grep '^lsnap_last_success_timestamp_seconds.*command=\"backup\"' $file"
}

# A backup by a user who can read, but not change, the server's files: by the group, and by a capability.
other_user() {
    local lines
    run_page schedule.md block "### Another user" sh
    lines=$(page schedule.md block "### Another user" ini | grep -v '^\[')
    drop_in "$(grep -E '^(User|Group)=' <<<"$lines")"
    on "systemctl start lsnap-backup.service"
    on "chmod 700 /var/lib/mysql"
    ! on "systemctl start lsnap-backup.service" 2>/dev/null || fail "a backup of a directory that is closed to the group succeeded"
    on "systemctl reset-failed lsnap-backup.service"
    drop_in "$lines"
    on "systemctl start lsnap-backup.service"
    on "chmod 750 /var/lib/mysql"
}

on_input() { nsenter --target "$FIRST" --mount --uts --ipc --net --pid --cgroup --root env --chdir=/ bash -c "$1"; }

state_of() { on "for t in $TIMERS; do systemctl is-enabled \$t; systemctl is-active \$t; done || true" | xargs; }

upgrade_and_remove() {
    local own others
    own=$(on "dpkg -L lsnap")
    on "sha256sum /etc/lsnap/*" >"$WORK/before.sums"
    on "dpkg --install /root/target/dist/*.deb" >"$WORK/dpkg.log" 2>&1 || { cat "$WORK/dpkg.log" >&2; fail "upgrade"; }
    on "sha256sum /etc/lsnap/*" | diff "$WORK/before.sums" - || fail "the upgrade changed /etc/lsnap"
    expect "timers after an upgrade" "$(state_of)" "enabled active enabled active"
    on "dpkg --remove lsnap" >"$WORK/dpkg.log" 2>&1 || { cat "$WORK/dpkg.log" >&2; fail "removal"; }
    on "sha256sum /etc/lsnap/*" | diff "$WORK/before.sums" - || fail "the removal changed /etc/lsnap"
    [ ! -e "$WORK/root/usr/bin/lsnap" ] || fail "/usr/bin/lsnap exists after the removal"
    ! on "systemctl is-active lsnap-backup.timer" >/dev/null || fail "the timer runs after the removal"
    on "dpkg --install /root/target/dist/*.deb" >"$WORK/dpkg.log" 2>&1 || { cat "$WORK/dpkg.log" >&2; fail "reinstallation"; }
    expect "timers after a removal and a new installation" "$(state_of)" "enabled active enabled active"
    others=$(on "ls /etc/lsnap" | grep -v lsnap.toml)
    on "dpkg --purge lsnap" >"$WORK/dpkg.log" 2>&1 || { cat "$WORK/dpkg.log" >&2; fail "purge"; }
    expect "/etc/lsnap after a purge" "$(on "ls /etc/lsnap")" "$others"
    local left
    # The backups, the metrics file and the stamps of systemd's timers are not the package's.
    left=$(on "find /usr /etc /var/lib/dpkg/info /var/lib/systemd/deb-systemd-helper-* -name '*lsnap*' -not -path /etc/lsnap")
    expect "files with the name of the package after a purge" "$left" ""
}
