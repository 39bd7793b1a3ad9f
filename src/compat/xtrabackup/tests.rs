use super::*;

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
    options::page::check_table(TABLE);
}

/// Options of callers that are accepted without an effect, because the work needs none.
const CALLERS_WITHOUT_EFFECT: &[&str] = &[
    "compress-threads",
    "xtrabackup-plugin-dir",
    "encrypt-threads",
    "no-lock",
    "rebuild-threads",
    "compress-chunk-size",
    "encrypt-chunk-size",
    "no-backup-locks",
    "no-version-check",
    "server-id",
    "keyring-vault-config",
];

/// Options that callers give only if a person asks them to, and that are refused: the keys of encrypted tablespaces.
const CALLERS_REFUSED: &[&str] = &[
    "transition-key",
    "generate-transition-key",
    "generate-new-master-key",
];

/// Every option of the 28 callers in `docs/reference/callers.md`.
#[test]
fn the_options_of_the_callers_are_done() {
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
        let found = TABLE.iter().find(|spec| spec.name == name);
        let spec = found.unwrap_or_else(|| panic!("--{name} is not known"));
        let right = match spec.state {
            State::Done => true,
            State::Accepted(_) => CALLERS_WITHOUT_EFFECT.contains(&name),
            State::Refused(_) => CALLERS_REFUSED.contains(&name),
        };
        assert!(right, "{spec}: {:?}", spec.state);
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

#[test]
fn filters_are_read_as_xtrabackup_reads_them() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("list");
    std::fs::write(&file, "shop.a\nodd name.t x\n\n").unwrap();
    let file = file.to_str().unwrap();
    let of = |args: &[&str]| filter::of(&parsed(args).unwrap()).map_err(|failure| failure.0);
    assert!(of(&[]).unwrap().is_empty());
    let found = of(&[
        "--databases=tests.t1 dbtest",
        "--databases_exclude",
        " lost+found\tlost+found ",
        "--tables=^a[.],b$",
        "--tables-exclude=c",
    ])
    .unwrap();
    assert_eq!(found.databases, ["dbtest", "tests.t1"]);
    assert_eq!(found.databases_exclude, ["lost+found"]);
    assert_eq!(found.tables, ["^a[.]", "b$"]);
    assert_eq!(found.tables_exclude, ["c"]);
    let found = of(&["--databases-file", file, "--tables-file", file]).unwrap();
    assert_eq!(found.databases, ["odd name.t x", "shop.a"]);
    assert_eq!(found.tables_listed, found.databases);
    for (args, words) in [
        (["--databases=a/b", "--stats=0"], "name `a/b` is not valid"),
        (["--databases=.t", "--stats=0"], "name `.t` is not valid"),
        (["--databases= ", "--stats=0"], "--databases names nothing"),
        (["--tables=,", "--stats=0"], "--tables names nothing"),
        (["--tables-file", "/no/such"], "/no/such: "),
        (
            ["--tables-file", "/dev/null"],
            "--tables-file names nothing",
        ),
    ] {
        let error = of(&args).unwrap_err();
        assert!(error.contains(words), "{error}");
    }
}

const PAGE: &str = "docs/reference/xtrabackup-options.md";

const HEAD: &str = "# xtrabackup's options in lsnap\n\n\
    Generated from the table in `src/compat/xtrabackup/table.rs`: the unit tests compare this page with it, and write it \
    if LSNAP_WRITE_REFERENCE is set. [lsnap instead of xtrabackup](../xtrabackup.md) explains it.\n\n";

#[test]
fn the_page_of_options_is_current() {
    options::page::check(PAGE, HEAD, TABLE);
}
