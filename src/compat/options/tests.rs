//! Facts: the behaviour of MySQL's clients, which have the same parser.

use super::*;
use std::fs;
use std::path::Path;

options! {
    Backup = "backup", Flag, Kind::Switch, Client, State::Done, "", "Back up.";
    BackupLockTimeout = "backup-lock-timeout", Required, Kind::Number { min: 1, max: 1000 }, Client, State::Done, "", "Wait.";
    Password = "password" 'p', Optional, Kind::Secret, Client, State::Done, "", "The password.";
    Socket = "socket" 'S', Required, Kind::Text, Client, State::Done, "", "The socket.";
    Compress = "compress", Optional, Kind::Word(&["zstd", "lz4"]), Client, State::Done, "", "Compress.";
    CompressThreads = "compress-threads", Required, Kind::Number { min: 1, max: 64 }, Client, State::Done, "", "Threads.";
    Datadir = "datadir" 'h', Required, Kind::Text, Server, State::Done, "", "The data directory.";
    Verbose = "verbose" 'v', Flag, Kind::Switch, Client, State::Done, "", "More.";
    Extract = "extract" 'x', Flag, Kind::Switch, Client, State::Done, "", "Extract.";
}

const GROUPS: Groups = Groups {
    own: &["xtrabackup"],
    client: &["client"],
    server: &["mysqld"],
};

fn words(args: &[&str]) -> Vec<OsString> {
    args.iter().map(OsString::from).collect()
}

fn parsed(args: &[&str]) -> Result<Parsed, String> {
    let mut parsed = Parsed::new(TABLE);
    command_line(&mut parsed, &words(args)).map_err(|error| error.to_string())?;
    Ok(parsed)
}

#[test]
fn values_follow_an_equals_sign_or_the_name() {
    let p = parsed(&["--socket=/a", "--compress-threads", "4", "-S", "/b", "-v"]).unwrap();
    assert_eq!(
        p.text(Opt::Socket).unwrap(),
        Some("/b"),
        "the last one counts"
    );
    assert_eq!(p.number(Opt::CompressThreads), Some(4));
    assert!(p.is_on(Opt::Verbose));
    assert_eq!(
        parsed(&["-S/tmp/x"]).unwrap().text(Opt::Socket).unwrap(),
        Some("/tmp/x")
    );
    assert_eq!(
        parsed(&["--socket"]).err().unwrap(),
        "option '--socket' requires an argument"
    );
}

#[test]
fn skip_takes_an_option_with_an_optional_text_back() {
    let p = parsed(&["--compress=lz4", "--skip-compress"]).unwrap();
    assert!(!p.is_given(Opt::Compress));
    let p = parsed(&["--compress=lz4", "--disable-compress", "--enable-compress"]).unwrap();
    assert!(p.is_given(Opt::Compress) && p.word(Opt::Compress).is_none());
}

#[test]
fn an_optional_value_is_only_taken_after_an_equals_sign() {
    let p = parsed(&["--compress", "lz4", "--password", "secret"]).unwrap();
    assert!(p.is_given(Opt::Compress) && p.word(Opt::Compress).is_none());
    assert!(p.is_given(Opt::Password) && p.text(Opt::Password).unwrap().is_none());
    assert_eq!(p.stray, ["lz4", "secret"]);
    let p = parsed(&["--compress=LZ4", "-psecret"]).unwrap();
    assert_eq!(p.word(Opt::Compress), Some("lz4"));
    assert_eq!(p.text(Opt::Password).unwrap(), Some("secret"));
}

#[test]
fn names_have_prefixes_and_underscores() {
    let p = parsed(&["--sock=/a", "--compress_threads=2", "--data=/d"]).unwrap();
    assert_eq!(p.text(Opt::Socket).unwrap(), Some("/a"));
    assert_eq!(p.number(Opt::CompressThreads), Some(2));
    assert_eq!(p.text(Opt::Datadir).unwrap(), Some("/d"));
    // A whole name has precedence over the longer one.
    assert!(parsed(&["--compress"]).unwrap().is_given(Opt::Compress));
    let error = parsed(&["--compre"]).err().unwrap();
    assert!(
        error.contains("ambiguous option '--compre' (compress, compress-threads)"),
        "{error}"
    );
    assert_eq!(parsed(&["--nothing"]).unwrap().unknown[0].name, "nothing");
}

#[test]
fn switches_have_all_their_forms() {
    for (arg, on) in [
        ("--backup", true),
        ("--backup=1", true),
        ("--backup=on", true),
        ("--backup=TRUE", true),
        ("--backup=OFF", false),
        ("--skip-backup", false),
        ("--disable-backup", false),
        ("--enable-backup", true),
        ("--loose-backup", true),
        ("--loose-skip-backup", false),
    ] {
        assert_eq!(
            parsed(&[arg]).unwrap().switch(Opt::Backup),
            Some(on),
            "{arg}"
        );
    }
    // MySQL takes an unknown value for OFF.
    assert!(parsed(&["--backup=yes"]).is_err());
    assert!(parsed(&["--loose-nothing"]).unwrap().unknown[0].loose);
    assert!(parsed(&["--skip-socket"]).unwrap().unknown[0].name == "skip-socket");
}

#[test]
fn numbers_have_suffixes_and_limits() {
    let of = |text: &str| {
        let p = parsed(&[&format!("--backup-lock-timeout={text}")]).unwrap();
        (p.number(Opt::BackupLockTimeout).unwrap(), p.warnings.len())
    };
    assert_eq!(of("5"), (5, 0));
    assert_eq!(of("1000"), (1000, 0));
    assert_eq!(of("1k"), (1000, 1), "1024 is above the limit");
    assert_eq!(of("0"), (1, 1));
    assert_eq!(of("-1"), (1, 1));
    assert_eq!(of("99999999999999999999999"), (1000, 1));
    assert_eq!(of("16E"), (1000, 1));
    for wrong in ["", "x", "5x", "5kb", "0x5", "--5"] {
        assert!(
            parsed(&[&format!("--backup-lock-timeout={wrong}")]).is_err(),
            "{wrong:?}"
        );
    }
}

#[test]
fn letters_can_be_joined() {
    let p = parsed(&["-xv"]).unwrap();
    assert!(p.is_on(Opt::Extract) && p.is_on(Opt::Verbose));
    let p = parsed(&["-xvS/a", "rest"]).unwrap();
    assert_eq!(p.text(Opt::Socket).unwrap(), Some("/a"));
    assert_eq!(p.stray, ["rest"]);
    assert_eq!(parsed(&["-Q"]).unwrap().unknown[0].name, "-Q");
}

#[test]
fn two_dashes_end_the_options() {
    let p = parsed(&["--", "--backup", "-v"]).unwrap();
    assert!(!p.is_given(Opt::Backup));
    assert_eq!(p.stray, ["--backup", "-v"]);
}

fn file(dir: &Path, text: &str) -> String {
    let path = dir.join("my.cnf");
    fs::write(&path, text).unwrap();
    format!("--defaults-file={}", path.display())
}

#[test]
fn groups_have_their_sides() {
    let dir = tempfile::tempdir().unwrap();
    let text = "[mysqld]\ndatadir=/d\nsocket=/server.sock\ncompress\nskip-name-resolve\n\
                [client]\nsocket=/client.sock\ndatadir=/wrong\nsock=/prefix\n[xtrabackup]\ncompress_threads=3\nwhat=1\n";
    let defaults = file(dir.path(), text);
    let read = read(
        TABLE,
        &GROUPS,
        &words(&[&defaults, "--verbose"]),
        Some(dir.path()),
    )
    .unwrap();
    let p = &read.parsed;
    assert_eq!(p.text(Opt::Datadir).unwrap(), Some("/d"));
    assert_eq!(p.text(Opt::Socket).unwrap(), Some("/client.sock"));
    assert!(
        !p.is_given(Opt::Compress),
        "an option of the client in [mysqld]"
    );
    assert_eq!(p.number(Opt::CompressThreads), Some(3));
    let strict: Vec<&str> = p
        .unknown
        .iter()
        .filter(|u| u.origin.is_strict())
        .map(|u| &*u.name)
        .collect();
    assert_eq!(strict, ["what"]);
}

#[test]
fn the_command_line_has_precedence_over_files() {
    let dir = tempfile::tempdir().unwrap();
    let defaults = file(dir.path(), "[xtrabackup]\nsocket=/file\nbackup=1\n");
    let read = read(
        TABLE,
        &GROUPS,
        &words(&[&defaults, "--socket=/line"]),
        Some(dir.path()),
    )
    .unwrap();
    assert_eq!(read.parsed.text(Opt::Socket).unwrap(), Some("/line"));
    assert!(read.parsed.is_on(Opt::Backup));
}

#[test]
fn options_for_files_come_first() {
    for late in [
        "--defaults-file=/x",
        "--defaults-extra-file=/x",
        "--no-defaults",
    ] {
        let error = read(TABLE, &GROUPS, &words(&["--backup", late]), None)
            .err()
            .unwrap();
        assert!(
            error.to_string().contains("must be specified first"),
            "{error}"
        );
    }
}

#[test]
fn another_group_of_the_server_can_be_named_anywhere() {
    let dir = tempfile::tempdir().unwrap();
    let defaults = file(
        dir.path(),
        "[mysqld]\ndatadir=/one\n[mysqld2]\ndatadir=/two\n",
    );
    for group in [
        vec!["--defaults-group=mysqld2"],
        vec!["--defaults_group", "mysqld2"],
    ] {
        let args = [vec![&*defaults, "--backup"], group].concat();
        let read = read(TABLE, &GROUPS, &words(&args), Some(dir.path())).unwrap();
        assert_eq!(read.parsed.text(Opt::Datadir).unwrap(), Some("/two"));
        assert!(read.parsed.stray.is_empty());
    }
}

#[test]
fn what_is_shown_has_no_secret() {
    let dir = tempfile::tempdir().unwrap();
    let defaults = file(
        dir.path(),
        "[client]\npassword=s3cret\n[xtrabackup]\nother-secret=s3cret\n",
    );
    let read = read(
        TABLE,
        &GROUPS,
        &words(&[&defaults, "--password=s3cret"]),
        Some(dir.path()),
    )
    .unwrap();
    let shown = read.parsed.recognised(Side::Client) + &read.from_files.join(" ");
    assert!(
        shown.contains("--password=") && !shown.contains("s3cret"),
        "{shown}"
    );
}

/// A login file with one login path, as `mysql_config_editor set` writes it.
fn login_file(lines: &[&str]) -> Vec<u8> {
    use aes::Aes128;
    use ctr::cipher::{Array, BlockCipherEncrypt as _, KeyInit as _};
    let key: Vec<u8> = (0..20).map(|n| n * 7 + 1).collect();
    let mut folded = [0; 16];
    for (at, byte) in key.iter().enumerate() {
        folded[at % 16] ^= byte;
    }
    let cipher = Aes128::new(&Array::from(folded));
    let mut bytes = [&[0; 4][..], &key].concat();
    for line in lines {
        let mut line = line.as_bytes().to_vec();
        let padding = 16 - line.len() % 16;
        line.extend(std::iter::repeat_n(padding as u8, padding));
        bytes.extend((line.len() as i32).to_le_bytes());
        for block in line.as_chunks::<16>().0 {
            let mut block = Array::from(*block);
            cipher.encrypt_block(&mut block);
            bytes.extend_from_slice(&block);
        }
    }
    bytes
}

#[test]
fn a_login_path_has_options() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(".mylogin.cnf");
    fs::write(
        &path,
        login_file(&["[other]\n", "socket = /login\n", "password = s3cret\n"]),
    )
    .unwrap();
    let args = words(&["--no-defaults", "--backup", "--login-path=other"]);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let open = read(TABLE, &GROUPS, &args, Some(dir.path())).unwrap();
    assert!(!open.parsed.is_given(Opt::Socket) && open.parsed.warnings.len() == 1);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let read_now = read(TABLE, &GROUPS, &args, Some(dir.path())).unwrap();
    assert_eq!(read_now.parsed.text(Opt::Socket).unwrap(), Some("/login"));
    let none = read(
        TABLE,
        &GROUPS,
        &words(&["--no-defaults", "--backup"]),
        Some(dir.path()),
    )
    .unwrap();
    assert!(!none.parsed.is_given(Opt::Socket));
}

#[test]
fn a_damaged_login_file_is_an_error() {
    let good = login_file(&["[client]\n", "user = u\n"]);
    assert_eq!(
        &**login_file::decrypted(&good).unwrap(),
        "[client]\nuser = u\n"
    );
    for end in (1..good.len()).filter(|end| *end != 24 && *end != 24 + 20) {
        assert!(login_file::decrypted(&good[..end]).is_err(), "{end}");
    }
}
