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

const PAGE: &str = "docs/reference/xtrabackup-options.md";

const HEAD: &str = "# xtrabackup's options in lsnap\n\n\
    Generated from the table in `src/compat/xtrabackup/table.rs`: the unit tests compare this page with it, and write it \
    if LSNAP_WRITE_REFERENCE is set. [lsnap instead of xtrabackup](../xtrabackup.md) explains it.\n\n";

fn page() -> String {
    let of = |kind: fn(&State) -> bool| TABLE.iter().filter(|spec| kind(&spec.state)).count();
    let mut page = format!(
        "{HEAD}{} options: {} done, {} accepted without effect, {} refused.\n\n| option | state | default | |\n|---|---|---|---|\n",
        TABLE.len(),
        of(|state| *state == State::Done),
        of(|state| matches!(state, State::Accepted(_))),
        of(|state| matches!(state, State::Refused(_))),
    );
    for spec in TABLE {
        let state = match spec.state {
            State::Done => "done".to_owned(),
            State::Accepted(reason) => format!("accepted: {reason}"),
            State::Refused(reason) => format!("refused: {reason}"),
        };
        page += &format!(
            "| `--{}` | {state} | {} | {} |\n",
            spec.name, spec.default, spec.help
        );
    }
    page
}

#[test]
fn the_page_of_options_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    let page = page();
    if std::env::var_os("LSNAP_WRITE_REFERENCE").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == page,
        "{PAGE} differs from the table: run the unit tests with LSNAP_WRITE_REFERENCE=1"
    );
}
