use super::fixture::*;
use crate::datadir::*;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;

fn reason<'a>(survey: &'a Survey, path: &str) -> &'a str {
    let found = survey.left_out.iter().find(|l| l.path == path);
    found
        .unwrap_or_else(|| panic!("{path} is not among {:?}", survey.left_out))
        .reason
}

fn names(survey: &Survey) -> Vec<&str> {
    survey.tablespaces.iter().map(|t| t.name.as_str()).collect()
}

#[test]
fn all_files_are_classified() {
    let mut made = TestDatadir::new();
    let ext = made.outside("ext");
    let external = |p: &str| ext.join(p).to_str().unwrap().to_owned();
    made.space("db/t.ibd", "db/t", 1, TABLE, 2);
    made.space("db/t#p#p0.ibd", "db/t#p#p0", 2, TABLE, 2);
    made.space("db/z1.ibd", "db/z1", 3, ZIP_1K, 7);
    made.space("ts.ibd", "ts", 4, GENERAL, 2);
    made.space(&external("out ü.ibd"), "out", 5, GENERAL, 2);
    made.space(&external("db/dd.ibd"), "db/dd", 6, TABLE, 2);
    made.space(&external("u.ibu"), "u", 0xFFFF_FFED, UNDO, 2);
    made.row(0xFFFF_FFFD, "innodb_temporary", "./ibtmp1", false);
    made.row(
        4_243_767_281,
        "innodb_temporary",
        "./#innodb_temp/temp_1.ibt",
        false,
    );
    for file in [
        "db/m.MYD",
        "db/m.MYI",
        "db/m_1.sdi",
        "mysqld.my",
        "ibtmp1",
        "auto.cnf",
        "ca.pem",
    ] {
        made.touch(file);
    }
    for file in [
        "#innodb_redo/#ib_redo1",
        "#innodb_temp/temp_1.ibt",
        "db/t.cfg",
        "binlog.000001",
    ] {
        made.touch(file);
    }
    made.touch("undo_7_trunc.log");
    fs::create_dir(made.path("empty")).unwrap();
    write_space(&made.path("db/orphan.ibd"), 99, TABLE, 1);
    write_space(&made.path("db/#sql-1.ibd"), 98, TABLE, 1);

    let survey = made.survey().unwrap();
    assert_eq!(
        names(&survey),
        [
            "ibdata1",
            "ibdata2",
            "db/dd.ibd",
            "db/t#p#p0.ibd",
            "db/t.ibd",
            "db/z1.ibd",
            "mysql.ibd",
            "out ü.ibd",
            "ts.ibd",
            "u.ibu",
            "undo_001",
            "undo_002"
        ]
    );
    let of = |name: &str| survey.tablespaces.iter().find(|t| t.name == name).unwrap();
    let kinds = [
        ("ibdata2", TablespaceKind::System, None),
        ("mysql.ibd", TablespaceKind::Dictionary, None),
        ("undo_001", TablespaceKind::Undo, None),
        ("u.ibu", TablespaceKind::Undo, Some(ext.clone())),
        ("ts.ibd", TablespaceKind::General, None),
        ("out ü.ibd", TablespaceKind::General, Some(ext.clone())),
        ("db/dd.ibd", TablespaceKind::FilePerTable, Some(ext.clone())),
        ("db/t.ibd", TablespaceKind::FilePerTable, None),
    ];
    for (name, kind, external) in kinds {
        assert_eq!(
            (of(name).kind, &of(name).external),
            (kind, &external),
            "{name}"
        );
    }
    assert_eq!((of("ibdata2").node, of("ibdata2").first_page), (1, 320));
    assert_eq!(
        (of("db/z1.ibd").page_size.bytes(), of("db/z1.ibd").bytes),
        (1024, 7 * 1024)
    );
    assert_eq!(of("db/dd.ibd").tablespace_name.as_deref(), Some("db/dd"));
    let plain: Vec<&str> = survey.plain.iter().map(|p| p.name.as_str()).collect();
    assert_eq!(plain, ["db/m.MYD", "db/m.MYI", "db/m_1.sdi", "mysqld.my"]);
    assert_eq!(survey.schemas, ["db", "empty"]);
    for (path, word) in [
        ("db/orphan.ibd", "orphan"),
        ("db/#sql-1.ibd", "ALTER"),
        ("#innodb_redo/", "redo"),
        ("#innodb_temp/", "temporary"),
        ("ibtmp1", "temporary"),
        ("auto.cnf", "identity"),
        ("ca.pem", "key"),
        ("binlog.000001", "binary"),
        ("undo_7_trunc.log", "truncated"),
        ("db/t.cfg", "engine"),
    ] {
        assert!(reason(&survey, path).contains(word), "{path}");
    }
}

#[test]
fn without_a_server_files_at_their_usual_paths_are_taken() {
    let mut made = TestDatadir::new();
    made.space("db/t.ibd", "db/t", 1, TABLE, 2);
    made.space("ts.ibd", "ts", 2, GENERAL, 2);
    made.known.clear();
    let survey = made.survey().unwrap();
    assert_eq!(
        names(&survey),
        [
            "ibdata1",
            "ibdata2",
            "db/t.ibd",
            "mysql.ibd",
            "ts.ibd",
            "undo_001",
            "undo_002"
        ]
    );
}

#[test]
fn external_files_with_equal_base_names_get_the_id_into_the_name() {
    let mut made = TestDatadir::new();
    for (dir, id) in [("a", 7), ("b", 8)] {
        let path = made.outside(&format!("{dir}/same.ibd"));
        made.space(path.to_str().unwrap(), &format!("ts_{dir}"), id, GENERAL, 1);
    }
    let expected = [
        "ibdata1",
        "ibdata2",
        "mysql.ibd",
        "same.7.ibd",
        "same.8.ibd",
        "undo_001",
        "undo_002",
    ];
    assert_eq!(names(&made.survey().unwrap()), expected);
    made.known.reverse();
    assert_eq!(names(&made.survey().unwrap()), expected);
    // A file in the data directory keeps its name; a name that is used even so is an error, never
    // an overwrite.
    made.space("same.ibd", "ts_in", 9, GENERAL, 1);
    let survey = made.survey().unwrap();
    let inside = survey
        .tablespaces
        .iter()
        .find(|t| t.space_id.0 == 9)
        .unwrap();
    assert_eq!(inside.name, "same.ibd");
    made.space("same.7.ibd", "evil", 10, GENERAL, 1);
    let error = made.survey().unwrap_err();
    assert!(
        matches!(&error, DatadirError::SameName { name, .. } if name == "same.7.ibd"),
        "{error}"
    );
}

#[test]
fn a_hidden_file_outside_gets_a_name_that_crash_recovery_finds() {
    let mut made = TestDatadir::new();
    made.space(".in.ibd", "in", 7, GENERAL, 1);
    let path = made.outside("a/.out.ibd");
    made.space(path.to_str().unwrap(), "out", 8, GENERAL, 1);
    let survey = made.survey().unwrap();
    let names = names(&survey);
    assert_eq!(names[2..4], [".in.ibd", "8.out.ibd"], "{names:?}");
    let hidden: Vec<_> = survey
        .tablespaces
        .iter()
        .map(crate::datadir::is_hidden)
        .collect();
    assert_eq!(hidden[2..4], [true, false]);
}

/// Returns the only missing tablespace, and the reason.
fn missing(survey: &Survey) -> (&Difference, &str) {
    let missing = survey.differences.iter().filter_map(|d| match &d.kind {
        DifferenceKind::Missing(why) => Some((d, why.as_str())),
        _ => None,
    });
    let missing: Vec<_> = missing.collect();
    assert_eq!(missing.len(), 1, "{missing:?}");
    missing[0]
}

#[test]
fn a_tablespace_without_its_file_is_a_difference_that_names_it() {
    for open in [true, false] {
        let mut made = TestDatadir::new();
        if open {
            made.row(42, "db/gone", "./db/gone.ibd", false);
        } else {
            made.unopened(42, "db/gone", "./db/gone.ibd", false);
        }
        let survey = made.survey().unwrap();
        let (difference, why) = missing(&survey);
        assert_eq!(difference.name, "db/gone");
        assert_eq!(difference.space_id, Some(SpaceId(42)));
        assert_eq!(difference.path, made.path("db/gone.ibd"));
        assert!(why.contains("doesn't exist"), "{why}");
    }

    let mut made = TestDatadir::new();
    fs::remove_file(made.path("undo_002")).unwrap();
    let error = made.survey().unwrap_err();
    assert!(error.to_string().contains("undo_002"), "{error}");
    made.known.retain(|row| row.name != "innodb_undo_002");
    made.survey().unwrap();

    let made = TestDatadir::new();
    fs::remove_file(made.path("ibdata2")).unwrap();
    let error = made.survey().unwrap_err();
    assert!(error.to_string().contains("ibdata2"), "{error}");

    let mut made = TestDatadir::new();
    fs::remove_file(made.path("mysql.ibd")).unwrap();
    assert!(matches!(
        made.survey(),
        Err(DatadirError::MissingTablespace { .. })
    ));
    made.known.retain(|row| row.name != "mysql");
    assert!(matches!(
        made.survey(),
        Err(DatadirError::MissingTablespace { .. })
    ));
}

#[test]
fn a_file_with_another_id_than_in_the_list_is_an_error() {
    let mut made = TestDatadir::new();
    made.space("db/t.ibd", "db/t", 1, TABLE, 2);
    write_space(&made.path("db/t.ibd"), 2, TABLE, 2);
    let error = made.survey().unwrap_err();
    assert!(
        matches!(&error, DatadirError::Replaced { found, expected, .. } if found.0 == 2 && expected.0 == 1),
        "{error}"
    );
}

#[test]
fn a_tablespace_that_is_not_open_is_taken_from_the_dictionary() {
    let mut made = TestDatadir::new();
    let ext = made.outside("ext/db/dd.ibd");
    let ext = ext.to_str().unwrap();
    for (path, id, flags) in [
        ("db/t.ibd", 1, TABLE),
        ("db/t#p#p@00200.ibd", 2, TABLE),
        ("gen.ibd", 3, GENERAL),
        ("db/enc.ibd", 4, ENCRYPTED_TABLE),
        (ext, 5, TABLE),
    ] {
        write_space(&made.path(path), id, flags, 2);
        made.unopened(id, &format!("n{id}"), path, false);
    }
    made.unopened(6, "db/gone", "./db/gone.ibd", true);
    made.unopened(7, "db/left", "./db/left.ibd", true);
    write_space(&made.path("db/left.ibd"), 7, TABLE, 1);
    let survey = made.survey().unwrap();
    let taken = survey.tablespaces.iter();
    let taken: Vec<_> = taken
        .filter(|t| t.space_id.0 < 10 && t.space_id.0 > 0)
        .collect();
    assert_eq!(taken.len(), 5, "{taken:?}");
    for tablespace in taken {
        let name = format!("n{}", tablespace.space_id);
        assert_eq!(tablespace.tablespace_name, Some(name));
    }
    let count = |kind: &DifferenceKind| {
        survey
            .differences
            .iter()
            .filter(|d| d.kind == *kind)
            .count()
    };
    assert_eq!(count(&DifferenceKind::NotOpened), 5);
    assert_eq!(count(&DifferenceKind::Discarded), 2);
    assert_eq!(survey.differences.len(), 7);
    assert!(reason(&survey, "db/left.ibd").contains("discarded"));
}

#[test]
fn a_file_that_is_in_no_list_is_a_difference() {
    let mut made = TestDatadir::new();
    made.space("db/t.ibd", "db/t", 1, TABLE, 2);
    write_space(&made.path("db/stranger.ibd"), 77, TABLE, 1);
    write_space(&made.path("db/copy.ibd"), 1, TABLE, 1);
    made.touch("db/short.ibd");
    fs::write(made.path("db/empty.ibd"), b"").unwrap();
    let survey = made.survey().unwrap();
    let kind = |path: &str| {
        let path = made.path(path);
        let found = survey.differences.iter().find(|d| d.path == path);
        &found.unwrap().kind
    };
    assert_eq!(kind("db/stranger.ibd"), &DifferenceKind::Unknown);
    assert_eq!(kind("db/copy.ibd"), &DifferenceKind::Copy);
    for path in ["db/short.ibd", "db/empty.ibd"] {
        assert!(
            matches!(kind(path), DifferenceKind::NoTablespace(_)),
            "{path}"
        );
    }
}

#[test]
fn two_files_of_one_id_offline_are_an_error() {
    let mut made = TestDatadir::new();
    made.space("db/t.ibd", "db/t", 1, TABLE, 2);
    write_space(&made.path("db/copy.ibd"), 1, TABLE, 2);
    assert!(reason(&made.survey().unwrap(), "db/copy.ibd").contains("orphan"));
    made.known.clear();
    assert!(matches!(made.survey(), Err(DatadirError::SameSpace { .. })));
}

#[test]
fn a_file_that_is_not_a_tablespace_is_reported_with_its_path() {
    let mut made = TestDatadir::new();
    made.row(1, "db/t", "./db/t.ibd", false);
    for junk in [&b""[..], b"short", &[0; 16384], &[7; 16384]] {
        made.touch("db/t.ibd");
        fs::write(made.path("db/t.ibd"), junk).unwrap();
        let survey = made.survey().unwrap();
        let (difference, why) = missing(&survey);
        assert_eq!(difference.path, made.path("db/t.ibd"));
        assert!(why.contains("not a tablespace"), "{why}");
    }
}

#[test]
fn system_files_must_have_their_sizes_and_page_size() {
    let mut made = TestDatadir::new();
    made.paths.data_file_path = "ibdata1:6M;ibdata2:5M:autoextend".into();
    assert!(matches!(
        made.survey(),
        Err(DatadirError::SystemFileSize { .. })
    ));
    made.paths.data_file_path = "ibdata1:4M;ibdata2:5M:autoextend".into();
    assert!(matches!(
        made.survey(),
        Err(DatadirError::SystemFileSize { .. })
    ));
    made.paths.data_file_path = "ibdata1:5M;ibdata2:4M:autoextend".into();
    made.survey().unwrap();
    made.paths.page_size = PageSize::new(8192).unwrap();
    assert!(matches!(made.survey(), Err(DatadirError::PageSize { .. })));
}

#[test]
fn system_undo_and_redo_may_have_separate_directories() {
    let mut made = TestDatadir::new();
    for dir in ["sys_home", "undo_home", "redo_home"] {
        fs::create_dir(made.path(dir)).unwrap();
    }
    for (file, dir) in [
        ("ibdata1", "sys_home"),
        ("ibdata2", "sys_home"),
        ("undo_001", "undo_home"),
    ] {
        fs::rename(made.path(file), made.path(dir).join(file)).unwrap();
    }
    made.known.retain(|row| row.name != "innodb_undo_001");
    made.row(0xFFFF_FFEF, "innodb_undo_001", "./undo_home/undo_001", true);
    (made.paths.data_home, made.paths.undo_dir) = ("sys_home".into(), made.path("undo_home"));
    made.paths.redo_dir = "redo_home".into();
    made.touch("redo_home/undo_1_trunc.log");
    let survey = made.survey().unwrap();
    assert_eq!(
        names(&survey),
        ["ibdata1", "ibdata2", "mysql.ibd", "undo_001", "undo_002"]
    );
    let undo = survey
        .tablespaces
        .iter()
        .find(|t| t.name == "undo_001")
        .unwrap();
    assert_eq!(undo.external, Some(made.path("undo_home")));
    assert!(survey.schemas.is_empty());
    for dir in ["sys_home/", "undo_home/", "redo_home/"] {
        reason(&survey, dir);
    }
}

#[test]
fn names_that_are_not_utf8_are_refused() {
    let made = TestDatadir::new();
    fs::write(
        made.paths.datadir.join(OsStr::from_bytes(b"bad\xFF.ibd")),
        b"",
    )
    .unwrap();
    let error = made.survey().unwrap_err();
    assert!(
        matches!(error, DatadirError::NotUtf8 { .. }) && error.to_string().contains("bad"),
        "{error}"
    );
}

#[test]
fn links_are_followed_and_must_not_be_broken() {
    let mut made = TestDatadir::new();
    let elsewhere = made.outside("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    symlink(&elsewhere, made.path("linked")).unwrap();
    made.space("linked/t.ibd", "linked/t", 1, TABLE, 2);
    made.touch("linked/m.MYI");
    fs::write(made.outside("m.MYD"), b"12345").unwrap();
    symlink(made.outside("m.MYD"), made.path("linked/m.MYD")).unwrap();
    let survey = made.survey().unwrap();
    let table = survey
        .tablespaces
        .iter()
        .find(|t| t.name == "linked/t.ibd")
        .unwrap();
    assert_eq!(table.external, None);
    assert_eq!(survey.schemas, ["linked"]);
    assert_eq!(
        (survey.plain[0].name.as_str(), survey.plain[0].bytes),
        ("linked/m.MYD", 5)
    );
    for harmless in ["mysql.sock", "linked/x.log"] {
        symlink("nowhere", made.path(harmless)).unwrap();
    }
    assert_eq!(reason(&made.survey().unwrap(), "mysql.sock"), "socket");
    let broken = ["linked/x.MYD", "linked/x.ibd", "schema_on_another_disk"];
    for path in broken {
        symlink("nowhere", made.path(path)).unwrap();
        assert!(
            matches!(made.survey(), Err(DatadirError::BadLink { .. })),
            "{path}"
        );
        fs::remove_file(made.path(path)).unwrap();
    }
    symlink("nowhere", made.path(broken[0])).unwrap();
    assert!(matches!(made.survey(), Err(DatadirError::BadLink { .. })));
}

/// An empty list of the server is an error, because every server has tablespaces; it must not be
/// interpreted as a missing list.
#[test]
fn an_empty_list_of_the_server_is_an_error() {
    let made = TestDatadir::new();
    let on_disk = survey(&made.paths, Spaces::OnDisk).unwrap();
    assert!(!on_disk.tablespaces.is_empty());
    let empty = ServerLists::default();
    let error = survey(&made.paths, Spaces::OfServer(&empty)).unwrap_err();
    assert!(
        matches!(&error, DatadirError::MissingTablespace { name, .. } if name == "mysql"),
        "{error}"
    );
}
