//! Options of the recovering server that lsnap sets itself. The caller's options are last on the
//! command line, so they would override them: the server would work in another directory, open a
//! port, skip the recovery, or not log the messages by which an incomplete recovery is detected.

/// Options without their leading `--`, `loose-` and `skip-`.
const OWN: [&str; 60] = [
    "admin-address",
    "admin-port",
    "bind-address",
    "binlog-expire-logs-auto-purge",
    "binlog-expire-logs-seconds",
    "chroot",
    "daemonize",
    "datadir",
    "defaults-extra-file",
    "defaults-file",
    "defaults-group-suffix",
    "enforce-gtid-consistency",
    "event-scheduler",
    "expire-logs-days",
    "general-log",
    "general-log-file",
    "grant-tables",
    "gtid-mode",
    "help",
    "init-file",
    "initialize",
    "initialize-insecure",
    "innodb-data-file-path",
    "innodb-data-home-dir",
    "innodb-directories",
    "innodb-doublewrite",
    "innodb-doublewrite-dir",
    "innodb-fast-shutdown",
    "innodb-force-recovery",
    "innodb-log-group-home-dir",
    "innodb-read-only",
    "innodb-temp-data-file-path",
    "innodb-temp-tablespaces-dir",
    "innodb-tmpdir",
    "innodb-undo-directory",
    "log-bin",
    "log-bin-index",
    "log-error",
    "log-error-services",
    "log-error-suppression-list",
    "log-error-verbosity",
    "log-output",
    "mysqlx",
    "networking",
    "no-defaults",
    "persisted-globals-load",
    "pid-file",
    "port",
    "print-defaults",
    "relay-log",
    "relay-log-index",
    "relay-log-purge",
    "replica-start",
    "slave-start",
    "slow-query-log",
    "slow-query-log-file",
    "socket",
    "tmpdir",
    "user",
    "version",
];

/// Prefixes of the name of an option that don't make it another option.
const PREFIXES: [&str; 5] = ["loose-", "skip-", "disable-", "enable-", "maximum-"];

/// Returns why the caller's own option can't be accepted; `None` if it can.
pub(crate) fn refused(argument: &str) -> Option<String> {
    let Some(long) = argument.strip_prefix("--") else {
        // The value of the preceding option.
        return argument
            .starts_with('-')
            .then(|| "it is a short option; give the long one".to_owned());
    };
    let name = long.split('=').next().unwrap_or(long);
    let name = name.replace('_', "-").to_ascii_lowercase();
    let mut name = name.as_str();
    while let Some(rest) = PREFIXES.iter().find_map(|prefix| name.strip_prefix(prefix)) {
        name = rest;
    }
    // A server accepts the beginning of an option's name.
    let own = OWN.iter().find(|own| own.starts_with(name))?;
    Some(format!(
        "lsnap sets --{own} of the recovering server; remove the option"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_lsnap_sets_are_refused_in_all_spellings() {
        for option in [
            "--datadir=/x",
            "--datadir",
            "--loose-datadir=/x",
            "--datad=/x",
            "--log-bin=/x",
            "--skip-log-bin",
            "--disable-log-bin",
            "--LOG_BIN",
            "--port=3306",
            "--socket=/x",
            "--innodb-undo-directory=/x",
            "--innodb_undo_directory=/x",
            "--loose_innodb_undo_directory=/x",
            "--skip-networking=0",
            "--loose-skip-networking=0",
            "--skip-grant-tables=0",
            "--innodb-force-recovery=6",
            "--user=root",
            // The messages in its log are checked.
            "--log-error-verbosity=1",
            "--log_error_services=log_sink_json",
            "--log-error-suppression-list=MY-012550",
            "--",
            "-h",
            "-P3306",
        ] {
            assert!(refused(option).is_some(), "{option}");
        }
        for option in [
            "--early-plugin-load=keyring_file.so",
            "--keyring-file-data=/x",
            "--loose-keyring-vault-config=/x",
            "--lower-case-table-names=1",
            "--plugin-dir=/x",
            "--innodb-buffer-pool-size=1G",
            "--innodb-page-size=8k",
            "/value",
        ] {
            assert_eq!(refused(option), None, "{option}");
        }
    }

    #[test]
    fn the_list_is_sorted() {
        assert!(OWN.is_sorted());
    }
}
