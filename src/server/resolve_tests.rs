use super::*;
use crate::server::{Password, SslMode, Transport};

type Env<'a> = &'a [(&'a str, &'a str)];

fn resolve(file: &str, env: Env<'_>, overrides: &Overrides) -> Result<ConnectOptions, ServerError> {
    let files = OptionFiles::parse(file, None).unwrap();
    let env = |name: &str| {
        env.iter()
            .find(|(n, _)| *n == name)
            .map(|(_, v)| (*v).to_string())
    };
    ConnectOptions::resolve(&files, &env, overrides, None)
}

fn tcp(host: &str, port: u16) -> Transport {
    Transport::Tcp {
        host: host.into(),
        port,
    }
}

fn password_of(o: &ConnectOptions) -> Option<&str> {
    o.password.as_ref().map(Password::expose)
}

#[test]
fn higher_layers_override_lower_ones() {
    let file = "[client]\nuser=f\npassword=f\nhost=f\nport=1\n[lsnap]\nuser=l\n";
    let o = resolve(file, &[], &Overrides::default()).unwrap();
    assert_eq!(
        (o.user.as_str(), password_of(&o), &o.transport),
        ("l", Some("f"), &tcp("f", 1))
    );

    let env: Env<'_> = &[
        ("MYSQL_PWD", "e"),
        ("MYSQL_HOST", "e"),
        ("MYSQL_TCP_PORT", "2"),
    ];
    let o = resolve(file, env, &Overrides::default()).unwrap();
    assert_eq!((password_of(&o), &o.transport), (Some("e"), &tcp("e", 2)));
    assert!(
        o.warnings.iter().any(|w| w.contains("MYSQL_PWD")),
        "{:?}",
        o.warnings
    );

    let both = resolve(
        file,
        &[("MYSQL_PWD", "e"), ("LSNAP_PASSWORD", "x")],
        &Overrides::default(),
    )
    .unwrap();
    assert_eq!((password_of(&both), both.warnings.len()), (Some("x"), 0));

    let line = Overrides {
        user: Some("c".into()),
        password: Some(Password::new("c")),
        host: Some("c".into()),
        port: Some(3),
        ..Overrides::default()
    };
    let o = resolve(file, env, &line).unwrap();
    assert_eq!(
        (o.user.as_str(), password_of(&o), &o.transport),
        ("c", Some("c"), &tcp("c", 3))
    );
}

#[test]
fn later_groups_override_earlier_ones() {
    let o = resolve(
        "[lsnap]\nuser=l\n[client]\nuser=c\n",
        &[],
        &Overrides::default(),
    )
    .unwrap();
    assert_eq!(o.user, "c");
}

#[test]
fn localhost_means_the_socket() {
    let socket = |s: &str| Transport::Socket(s.into());
    let at = |file: &str, o: &Overrides| resolve(file, &[], o).unwrap().transport;
    let none = Overrides::default();
    assert_eq!(at("[client]\nsocket=/s\n", &none), socket("/s"));
    assert_eq!(
        at("[client]\nsocket=/s\nhost=localhost\nport=7\n", &none),
        socket("/s")
    );
    assert_eq!(
        at("[client]\nsocket=/s\nhost=127.0.0.1\n", &none),
        tcp("127.0.0.1", 3306)
    );
    assert_eq!(
        at("[client]\nsocket=/s\nprotocol=tcp\nport=7\n", &none),
        tcp("localhost", 7)
    );
    assert_eq!(
        at("[client]\nsocket=/s\nhost=db\nprotocol=SOCKET\n", &none),
        socket("/s")
    );
    // A transport on the command line overrides the other one in the file.
    let by_socket = Overrides {
        socket: Some("/c".into()),
        ..Overrides::default()
    };
    assert_eq!(
        at("[client]\nhost=db\nprotocol=tcp\n", &by_socket),
        socket("/c")
    );
    let by_host = Overrides {
        host: Some("db2".into()),
        ..Overrides::default()
    };
    assert_eq!(
        at("[client]\nsocket=/s\nprotocol=socket\nport=7\n", &by_host),
        tcp("db2", 7)
    );
}

#[test]
fn a_port_without_a_host_is_ignored_with_a_warning() {
    let o = resolve("[client]\nport=3307\n", &[], &Overrides::default()).unwrap();
    assert!(matches!(o.transport, Transport::Socket(_)));
    assert!(
        o.warnings.iter().any(|w| w.contains("port is ignored")),
        "{:?}",
        o.warnings
    );
}

#[test]
fn ssl_modes_are_resolved_and_checked() {
    let of = |file: &str| resolve(file, &[], &Overrides::default());
    assert_eq!(of("").unwrap().ssl_mode, SslMode::Preferred);
    assert_eq!(
        of("[client]\nssl-ca=/ca\n").unwrap().ssl_mode,
        SslMode::VerifyCa
    );
    assert_eq!(
        of("[client]\nssl-ca=/ca\nssl_mode=required\n")
            .unwrap()
            .ssl_mode,
        SslMode::Required
    );
    let checked = of("[client]\nssl-ca=/ca\nhost=db\n").unwrap();
    assert!(checked.warnings.is_empty(), "{:?}", checked.warnings);
    for wrong in [
        "ssl-mode=VERIFY_IDENTITY",
        "ssl-mode=maybe",
        "ssl-mode",
        "ssl-cert=/c",
        "port=x",
        "port=70000",
        "protocol=pipe",
    ] {
        let error = of(&format!("[client]\n{wrong}\n")).unwrap_err();
        assert!(
            matches!(error, ServerError::BadOption { .. }),
            "{wrong}: {error}"
        );
    }
    let error = of("[client]\n\nssl-mode=maybe\n").unwrap_err().to_string();
    assert!(
        error.contains("line 3") && error.contains("VERIFY_CA"),
        "{error}"
    );
}

#[test]
fn unknown_options_of_the_group_of_lsnap_are_errors() {
    let of = |text: &str| resolve(text, &[], &Overrides::default());
    let fine = of("[client]\ndefault-character-set=utf8\nsockett=/s\n[lsnap]\nloose-x=1\n");
    assert!(fine.unwrap().warnings.is_empty());
    for (text, words) in [
        ("[lsnap]\nsockett=/s\n", "did you mean socket?"),
        ("[client]\nuser=u\n[lsnap]\nencrypt=AES256\n", "lsnap.toml"),
        ("[lsnap]\nssl_mod=REQUIRED\n", "did you mean ssl-mode?"),
    ] {
        let error = of(text).unwrap_err().to_string();
        assert!(error.contains(words) && error.contains("line"), "{error}");
    }
}

/// Every known option is accepted: the list of the message has no other options.
#[test]
fn the_known_options_are_known() {
    for name in super::super::layers::OPTIONS {
        let value = match *name {
            "port" | "connect-timeout" => "3306",
            "protocol" => "tcp",
            "ssl-mode" => "REQUIRED",
            _ => "x",
        };
        let text = format!("[lsnap]\n{name}={value}\n");
        let files = OptionFiles::parse(&text, None).unwrap();
        let read = super::super::layers::layer_of_files(&files);
        assert!(read.is_ok(), "{name}: {read:?}");
    }
}

#[test]
fn a_password_without_a_value_prompts_once() {
    let files = OptionFiles::parse("[client]\nuser=u\nsocket=/s\npassword\n", None).unwrap();
    let mut asked = Vec::new();
    let mut send = |text: &str| {
        asked.push(text.to_string());
        Ok("typed".to_string())
    };
    let o =
        ConnectOptions::resolve(&files, &|_| None, &Overrides::default(), Some(&mut send)).unwrap();
    assert_eq!(password_of(&o), Some("typed"));
    assert_eq!(asked, ["Password of 'u' at socket /s: "]);
    let error = ConnectOptions::resolve(&files, &|_| None, &Overrides::default(), None)
        .unwrap_err()
        .to_string();
    assert!(error.contains("Overrides::password_file"), "{error}");
    // No prompt if a higher layer has a password.
    let o = ConnectOptions::resolve(
        &files,
        &|n| (n == "LSNAP_PASSWORD").then(|| "e".into()),
        &Overrides::default(),
        None,
    );
    assert_eq!(password_of(&o.unwrap()), Some("e"));
}

#[test]
fn a_prompt_on_the_command_line_overrides_a_password_in_a_file() {
    let files = OptionFiles::parse("[client]\npassword=f\n", None).unwrap();
    let line = Overrides {
        ask_password: true,
        ..Overrides::default()
    };
    let o = ConnectOptions::resolve(&files, &|_| None, &line, Some(&mut |_| Ok("typed".into())))
        .unwrap();
    assert_eq!(password_of(&o), Some("typed"));
}

#[test]
fn password_files_have_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pw");
    let line = Overrides {
        password_file: Some(path.clone()),
        ..Overrides::default()
    };
    let of = |text: &[u8]| {
        std::fs::write(&path, text).unwrap();
        resolve("[client]\npassword=f\n", &[("LSNAP_PASSWORD", "e")], &line)
    };
    for (text, expected) in [
        ("pw\n", "pw"),
        ("pw", "pw"),
        (" p w \r\n", " p w "),
        ("p\u{e4}#'\n", "p\u{e4}#'"),
    ] {
        assert_eq!(password_of(&of(text.as_bytes()).unwrap()), Some(expected));
    }
    for text in [
        &b""[..],
        b"\n",
        b"s3cret\nb\n",
        b"s3cret\xff",
        &[b'x'; 70_000],
    ] {
        let error = of(text).unwrap_err().to_string();
        assert!(
            error.contains("pw: ") && !error.contains("s3cret"),
            "{error}"
        );
    }
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(
        resolve("", &[], &line),
        Err(ServerError::PasswordFile { .. })
    ));
    let both = Overrides {
        password: Some(Password::new("x")),
        ..line
    };
    assert!(matches!(
        resolve("", &[], &both),
        Err(ServerError::BadOption { .. })
    ));
}

#[test]
fn debug_output_contains_no_password() {
    let o = resolve(
        "[client]\npassword=s3cret\n",
        &[("MYSQL_PWD", "s3cret")],
        &Overrides::default(),
    )
    .unwrap();
    let line = Overrides {
        password: Some(Password::new("s3cret")),
        ..Overrides::default()
    };
    let shown = format!("{o:?} {line:?}");
    assert!(!shown.contains("s3cret"), "{shown}");
}
