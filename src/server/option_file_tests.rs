use super::*;

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn pairs(found: &OptionFiles) -> Vec<(&str, Option<&str>)> {
    found
        .entries
        .iter()
        .map(|e| (e.name.as_str(), e.value.as_deref()))
        .collect()
}

fn value_of(line: &str) -> Option<String> {
    let found = OptionFiles::parse(&format!("[client]\n{line}\n"), None).unwrap();
    found.entries[0].value.clone()
}

#[test]
fn lines_are_parsed_as_in_mysql() {
    for (line, expected) in [
        ("user=a", Some("a")),
        ("  user =  a b  ", Some("a b")),
        ("user", None),
        ("user=", Some("")),
        ("user=a # c", Some("a")),
        ("user='a # c'", Some("a # c")),
        ("user=\"a;b\" # c", Some("a;b")),
        ("user='it\\'s # x'", Some("it's # x")),
        ("user=\"x", Some("\"x")),
        ("user=\"", Some("\"")),
        ("user='x\"", Some("'x\"")),
        (r"user=\s\t\n\\\'\q\", Some(" \t\n\\'\\q\\")),
        ("user=a=b", Some("a=b")),
        ("user='ä'", Some("ä")),
    ] {
        assert_eq!(value_of(line).as_deref(), expected, "{line}");
    }
}

#[test]
fn only_the_groups_of_lsnap_are_read_in_order() {
    let text = "; c\n# c\n[mysqld]\nuser=no\n[lsnap]\nssl_mode=A\n[ client ] trailing\nssl-mode=B\n[client_x]\nport=1\r\n";
    let found = OptionFiles::parse(text, None).unwrap();
    assert_eq!(
        pairs(&found),
        [("ssl-mode", Some("A")), ("ssl-mode", Some("B"))]
    );
    assert_eq!(found.entries[1].line, 8);
    let suffixed = OptionFiles::parse(text, Some("_x")).unwrap();
    assert_eq!(pairs(&suffixed).last(), Some(&("port", Some("1"))));
}

#[test]
fn bad_lines_name_file_and_line() {
    for (text, line) in [
        ("user=a", 1),
        ("[client]\n\n[open", 3),
        ("[client]\n=x", 2),
        ("\n!nonsense x", 2),
        ("!include ", 1),
    ] {
        let error = OptionFiles::parse(text, None).unwrap_err().to_string();
        assert!(
            error.contains(&format!("line {line}:")) && error.contains("(text)"),
            "{text}: {error}"
        );
    }
}

#[test]
fn debug_shows_no_value() {
    let found = OptionFiles::parse("[client]\npassword=s3cret\npasswort=s3cret", None).unwrap();
    assert!(!format!("{found:?}").contains("s3cret"));
}

#[test]
fn files_are_read_in_mysqls_order() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    write(&root.join("etc/my.cnf"), "[client]\nuser=1");
    write(&root.join("etc/mysql/my.cnf"), "[client]\nuser=2");
    write(&root.join("extra.cnf"), "[lsnap]\nuser=3");
    write(&root.join("home/.my.cnf"), "[client]\nuser=4");
    let choice = FileChoice {
        defaults_extra_file: Some(root.join("extra.cnf")),
        ..FileChoice::default()
    };
    let found = OptionFiles::read_below(&choice, root, Some(&root.join("home"))).unwrap();
    let users: Vec<_> = found
        .entries
        .iter()
        .map(|e| e.value.as_deref().unwrap())
        .collect();
    assert_eq!(users, ["1", "2", "3", "4"]);
    assert_eq!(found.files.len(), 4);

    let sole = FileChoice {
        defaults_file: Some(root.join("extra.cnf")),
        ..FileChoice::default()
    };
    let found = OptionFiles::read_below(&sole, root, Some(&root.join("home"))).unwrap();
    assert_eq!(pairs(&found), [("user", Some("3"))]);

    let none = FileChoice {
        no_defaults: true,
        ..FileChoice::default()
    };
    assert_eq!(
        OptionFiles::read_below(&none, root, Some(&root.join("home"))).unwrap(),
        OptionFiles::default()
    );
    let both = FileChoice {
        no_defaults: true,
        ..sole
    };
    assert!(OptionFiles::read_below(&both, root, None).is_err());
}

#[test]
fn only_given_files_must_exist() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("none.cnf");
    for choice in [
        FileChoice {
            defaults_file: Some(missing.clone()),
            ..FileChoice::default()
        },
        FileChoice {
            defaults_extra_file: Some(missing.clone()),
            ..FileChoice::default()
        },
    ] {
        let error = OptionFiles::read_below(&choice, dir.path(), None)
            .unwrap_err()
            .to_string();
        assert!(error.contains("none.cnf"), "{error}");
    }
    let found =
        OptionFiles::read_below(&FileChoice::default(), dir.path(), Some(dir.path())).unwrap();
    assert_eq!(found, OptionFiles::default());
}

#[test]
fn includes_nest_in_order_and_are_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    let conf = root.join("conf.d");
    write(&conf.join("b.cnf"), "[client]\nuser=b");
    write(&conf.join("a.cnf"), "[client]\nuser=a");
    write(&conf.join("c.txt"), "[client]\nuser=c");
    let main = root.join("main.cnf");
    let text = format!(
        "[client]\nuser=0\n!includedir {}\nuser=9\n! include {}/gone.cnf\n",
        conf.display(),
        root.display()
    );
    write(&main, &text);
    let choice = FileChoice {
        defaults_file: Some(main.clone()),
        ..FileChoice::default()
    };
    let found = OptionFiles::read(&choice, None).unwrap();
    let users: Vec<_> = found
        .entries
        .iter()
        .map(|e| e.value.as_deref().unwrap())
        .collect();
    assert_eq!(users, ["0", "a", "b", "9"]);
    assert!(
        found.warnings[0].contains("gone.cnf"),
        "{:?}",
        found.warnings
    );

    write(
        &main,
        &format!("[client]\nuser=1\n!include {}\n", main.display()),
    );
    let found = OptionFiles::read(&choice, None).unwrap();
    assert_eq!(found.entries.len(), MAX_DEPTH + 1);
    assert!(
        found.warnings.iter().any(|w| w.contains("levels deep")),
        "{:?}",
        found.warnings
    );

    // Two files that each include the whole directory would cause 2^10 reads.
    for name in ["a.cnf", "b.cnf", "c.cnf"] {
        write(
            &conf.join(name),
            &format!("!includedir {}\n", conf.display()),
        );
    }
    write(&main, &format!("!includedir {}\n", conf.display()));
    let error = OptionFiles::read(&choice, None).unwrap_err().to_string();
    assert!(error.contains("more than 1000 option files"), "{error}");
}

#[test]
fn world_writable_files_are_ignored_with_a_warning() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("my.cnf");
    write(&path, "[client]\nuser=evil");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    let choice = FileChoice {
        defaults_file: Some(path.clone()),
        ..FileChoice::default()
    };
    let found = OptionFiles::read(&choice, None).unwrap();
    assert!(found.entries.is_empty() && found.files.is_empty());
    assert!(
        found.warnings[0].contains("ignored because every user may write"),
        "{:?}",
        found.warnings
    );
}

#[test]
fn invalid_utf_8_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("my.cnf");
    fs::write(&path, b"[client]\nuser=\xff\n").unwrap();
    let choice = FileChoice {
        defaults_file: Some(path),
        ..FileChoice::default()
    };
    let error = OptionFiles::read(&choice, None).unwrap_err().to_string();
    assert!(
        error.contains("line 2") && error.contains("UTF-8"),
        "{error}"
    );
}

proptest::proptest! {
    #[test]
    fn any_text_is_parsed_or_refused(text in "(\\[client\\]\n)?[ -~\n\u{e4}\\\\'\"#!=\\[\\]]{0,200}") {
        if let Ok(found) = OptionFiles::parse(&text, Some("_x")) {
            proptest::prop_assert!(found.entries.len() <= text.lines().count());
        }
    }

    #[test]
    fn a_quoted_and_escaped_value_is_unchanged(value in "[ -~\u{e4}\t\n]{0,40}") {
        let escaped = value.replace('\\', "\\\\").replace('\n', "\\n").replace('\t', "\\t").replace('"', "\\\"");
        proptest::prop_assert_eq!(value_of(&format!("password=\"{escaped}\"")), Some(value));
    }
}
