use super::*;
use crate::compat::options::{Argument, Kind};

fn parsed(args: &[&str]) -> Result<Parsed, OptionError> {
    let args: Vec<OsString> = args.iter().map(OsString::from).collect();
    let all = [
        &["--no-defaults".into(), "--no-login-paths".into()],
        &args[..],
    ]
    .concat();
    read(TABLE, &GROUPS, &all, None).map(|read| read.parsed)
}

#[test]
fn the_table_is_consistent() {
    let mut letters = std::collections::BTreeSet::new();
    for (at, spec) in TABLE.iter().enumerate() {
        assert!(
            !TABLE[..at].iter().any(|other| other.name == spec.name),
            "{spec} is there twice"
        );
        assert!(
            spec.short.is_none_or(|letter| letters.insert(letter)),
            "{spec}"
        );
        assert!(!spec.name.contains('_'), "{spec}");
        assert!(spec.help.ends_with('.'), "{spec}");
        if spec.argument == Argument::Flag {
            assert_eq!(spec.kind, Kind::Switch, "{spec}");
        }
        if let State::Accepted(reason) | State::Refused(reason) = spec.state {
            assert!(!reason.is_empty() && !reason.ends_with('.'), "{spec}");
        }
    }
}

#[test]
fn the_help_has_every_option() {
    let help = options::usage(TABLE);
    for spec in TABLE {
        assert!(help.contains(&format!("--{}", spec.name)), "{spec}");
    }
}

/// Every option of the 28 callers that were read (`callers.md` of the specifications).
#[test]
fn the_options_of_the_callers_are_known() {
    let used = [
        "target-dir",
        "backup",
        "prepare",
        "user",
        "stream",
        "password",
        "compress",
        "apply-log-only",
        "decompress",
        "datadir",
        "incremental-dir",
        "parallel",
        "host",
        "incremental-basedir",
        "remove-original",
        "slave-info",
        "compress-threads",
        "incremental-lsn",
        "socket",
        "version",
        "copy-back",
        "encrypt",
        "decrypt",
        "move-back",
        "use-memory",
        "databases",
        "port",
        "safe-slave-backup",
        "encrypt-key",
        "encrypt-key-file",
        "extra-lsndir",
        "force-non-empty-directories",
        "xtrabackup-plugin-dir",
        "component-keyring-config",
        "defaults-group",
        "encrypt-threads",
        "export",
        "galera-info",
        "transition-key",
        "generate-transition-key",
        "help",
        "keyring-file-data",
        "no-lock",
        "rebuild-threads",
        "rollback-prepared-trx",
        "throttle",
        "compress-chunk-size",
        "encrypt-chunk-size",
        "databases-exclude",
        "tables",
        "tables-file",
        "tables-exclude",
        "generate-new-master-key",
        "history",
        "lock-ddl",
        "login-path",
        "no-backup-locks",
        "no-version-check",
        "page-tracking",
        "server-id",
        "strict",
        "keyring-vault-config",
    ];
    for name in used {
        assert!(TABLE.iter().any(|spec| spec.name == name), "--{name}");
    }
}

#[test]
fn one_mode_is_needed() {
    let of = |args: &[&str]| mode(&parsed(args).unwrap()).map_err(|failure| failure.0);
    assert_eq!(of(&[]), Ok(None));
    assert_eq!(of(&["--backup"]), Ok(Some(Mode::Backup)));
    assert_eq!(of(&["--decompress=TRUE"]), Ok(Some(Mode::Unpack)));
    assert_eq!(
        of(&["--decrypt=AES256", "--decompress"]),
        Ok(Some(Mode::Unpack))
    );
    assert_eq!(of(&["--backup", "--skip-backup"]), Ok(None));
    assert_eq!(
        of(&["--backup", "--prepare"]),
        Err("--backup and --prepare are mutually exclusive".to_owned())
    );
}

#[test]
fn unknown_options_are_refused_where_xtrabackup_refuses_them() {
    let check = |args: &[&str], mode| check_unknown(&parsed(args).unwrap(), mode).is_ok();
    assert!(!check(&["--bakcup"], Mode::Backup));
    assert!(check(&["--loose-bakcup"], Mode::Backup));
    assert!(check(&["--bakcup", "--strict=OFF"], Mode::Backup));
    assert!(check(&["--data_dirs=/x"], Mode::Unpack));
}
