use super::matcher::{Matcher, TableName};
use super::{TableFilter, decoded, is_of_server, pattern};
use proptest::prelude::*;
use std::io::Write as _;
use std::process::{Command, Stdio};

fn texts(entries: &[&str]) -> Vec<String> {
    entries.iter().map(|entry| (*entry).to_owned()).collect()
}

#[test]
fn names_of_files_are_decoded() {
    // As a server of MySQL 9.7.4 wrote them.
    for (file, name) in [
        ("t1_A", "t1_A"),
        ("@1idd@002dn@0kme", "ödd-näme"),
        ("t@0020@0024x@65e5#p#p0", "t $x日#p#p0"),
        ("@G0@g0@0G@4w", "АаÀΐ"),
        ("aux@@@", "aux"),
        ("a@", "a@"),
        ("a@00", "a@00"),
        ("lost@002bfound", "lost+found"),
    ] {
        let found = decoded(file);
        if file.starts_with("@G0") {
            assert_eq!(found.chars().count(), 4, "{found}");
            assert_eq!(found.chars().take(3).collect::<String>(), "АаÀ");
        } else {
            assert_eq!(found, name, "{file}");
        }
    }
}

/// Returns the tables of a server with these files that a filter keeps.
fn kept(filter: &TableFilter) -> Vec<&'static str> {
    const FILES: [&str; 9] = [
        "shop/a.ibd",
        "shop/b.MYD",
        "shop/p#p#p0.ibd",
        "shop/p#p#p1#sp#s0.ibd",
        "other/a.ibd",
        "@1idd@002dn@0kme/t@0020x.ibd",
        "lost@002bfound/t.ibd",
        "external/shop2/ext.ibd",
        "mysql/general_log.CSV",
    ];
    let matcher = Matcher::new(filter).unwrap();
    let keeps = |path: &&str| matcher.keeps(&TableName::of_path(path).unwrap());
    FILES.into_iter().filter(keeps).collect()
}

#[test]
fn tables_are_kept_by_the_rules_of_xtrabackup() {
    const SYSTEM: &str = "mysql/general_log.CSV";
    let databases = |entries: &[&str]| TableFilter {
        databases: texts(entries),
        ..TableFilter::default()
    };
    let exclude = |entries: &[&str]| TableFilter {
        databases_exclude: texts(entries),
        ..TableFilter::default()
    };
    let tables = |entries: &[&str]| TableFilter {
        tables: texts(entries),
        ..TableFilter::default()
    };
    assert_eq!(kept(&TableFilter::default()).len(), 9);
    assert_eq!(kept(&databases(&["other"])), ["other/a.ibd", SYSTEM]);
    assert_eq!(
        kept(&databases(&["shop.b", "other"])),
        ["shop/b.MYD", "other/a.ibd", SYSTEM]
    );
    // A table of partitions is named as a whole.
    assert_eq!(
        kept(&databases(&["shop.p"])),
        ["shop/p#p#p0.ibd", "shop/p#p#p1#sp#s0.ibd", SYSTEM]
    );
    // By both forms of the name.
    let odd = ["@1idd@002dn@0kme/t@0020x.ibd", SYSTEM];
    assert_eq!(kept(&databases(&["ödd-näme"])), odd);
    assert_eq!(kept(&databases(&["@1idd@002dn@0kme"])), odd);
    assert_eq!(kept(&databases(&["ödd-näme.t x"])), odd);
    assert_eq!(kept(&tables(&["^ödd-näme[.]t x$"])), odd);
    assert_eq!(
        kept(&tables(&["^shop2"])),
        ["external/shop2/ext.ibd", SYSTEM]
    );
    // One partition, with the sign of either case.
    for pattern in ["^shop[.]p#P#p0$", "^shop[.]p#p#p0$"] {
        assert_eq!(kept(&tables(&[pattern])), ["shop/p#p#p0.ibd", SYSTEM]);
    }
    assert_eq!(kept(&tables(&["^shop[.]p$"])).len(), 3);
    assert!(!kept(&exclude(&["lost+found"])).contains(&"lost@002bfound/t.ibd"));
    assert_eq!(kept(&exclude(&["shop.a", "mysql"])).len(), 8);
    let listed = TableFilter {
        tables_listed: texts(&["shop.a"]),
        tables_exclude: texts(&["[.]b$"]),
        ..databases(&["shop", "other"])
    };
    assert_eq!(
        kept(&listed),
        [
            "shop/a.ibd",
            "shop/p#p#p0.ibd",
            "shop/p#p#p1#sp#s0.ibd",
            "other/a.ibd",
            SYSTEM
        ]
    );
}

/// A full-text index is kept with every table of its database that may be its own.
#[test]
fn the_tables_of_full_text_indexes_are_kept_by_their_database() {
    let index = TableName::of_file("shop", "fts_0000000000000430_00000000000000ad_index_1");
    let databases = |entries: &[&str], exclude: &[&str]| TableFilter {
        databases: texts(entries),
        databases_exclude: texts(exclude),
        tables_exclude: texts(&["fts_"]),
        ..TableFilter::default()
    };
    for (entries, exclude, keeps) in [
        (&["shop.a"][..], &[][..], true),
        (&["shop"], &[], true),
        (&["other"], &[], false),
        (&[], &["shop"], false),
        (&[], &["shop.a"], true),
    ] {
        let matcher = Matcher::new(&databases(entries, exclude)).unwrap();
        assert_eq!(matcher.keeps(&index), keeps, "{entries:?} {exclude:?}");
    }
}

#[test]
fn entries_that_name_nothing_are_listed() {
    let filter = TableFilter {
        databases: texts(&["shop", "gone", "shop.gone", "mysql"]),
        tables: texts(&["^nothing", "^shop"]),
        ..TableFilter::default()
    };
    let names = [TableName::of_file("shop", "a")];
    let found = Matcher::new(&filter).unwrap();
    assert_eq!(found.unmatched(&names), ["gone", "shop.gone", "^nothing"]);
}

#[test]
fn expressions_that_programs_understand_differently_are_refused() {
    for (pattern, word) in [
        ("a\\d", "[0-9]"),
        ("(a)\\1", "differently"),
        ("\\bx", "differently"),
        ("\\w", "differently"),
        ("a$*", "differently"),
        ("^{2}a", "differently"),
        ("*a", "nothing before *"),
        ("(?i)a", "nothing before ?"),
        ("a|*", "nothing before *"),
        ("a(b", "( without"),
        ("a)b", ") without"),
        ("a[b", "[ without"),
        ("a{1", "{m}"),
        ("a{2,1}", "{m}"),
        ("a{999999999999}", "{m}"),
        ("[[:word:]]", "[:digit:]"),
        ("[[.a.]]", "[:digit:]"),
        ("[z-a]", "before it"),
        ("a\\", "ends with"),
    ] {
        let error = pattern::compile(pattern).unwrap_err().to_string();
        assert!(
            error.contains(word) && error.contains(&format!("{pattern:?}")),
            "{pattern}: {error}"
        );
    }
    assert!(pattern::compile(&"(".repeat(1000)).is_err());
}

/// Returns the lines that `grep -E` finds: the same expressions, by another program.
fn found_by_grep(pattern: &str, lines: &[&str]) -> Option<Vec<String>> {
    let mut grep = Command::new("grep")
        .args(["-E", "-e", pattern])
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    grep.stdin
        .take()
        .unwrap()
        .write_all((lines.join("\n") + "\n").as_bytes())
        .unwrap();
    let output = grep.wait_with_output().unwrap();
    (output.status.code() != Some(2)).then(|| {
        String::from_utf8(output.stdout)
            .unwrap()
            .lines()
            .map(str::to_owned)
            .collect()
    })
}

const LINES: [&str; 16] = [
    "shop.a", "shop.b", "shop.ab", "shop.a_b", "shop.t1", "shop.t10", "shopxa", "a.a", "aa.bb",
    "b-a.]", "日.a", "ä.b", "a^.b", "a\\.b", "a.", "a{1}.b",
];

fn pattern() -> impl Strategy<Value = String> {
    let part = prop::sample::select(vec![
        "a",
        "b",
        "s",
        "shop",
        "t",
        "1",
        "_",
        "ä",
        "日",
        ".",
        "[.]",
        "\\.",
        "[ab]",
        "[^a]",
        "[]a]",
        "[a-c]",
        "[^]a-b]",
        "[\\.]",
        "[[:digit:]]",
        "[^[:digit:]_]",
        "[a-]",
        "(a|b)",
        "(shop|a)",
        "^",
        "$",
        "|",
        "*",
        "+",
        "?",
        "{2}",
        "{1,}",
        "{0,2}",
        "[[:space:]]",
        "\\^",
        "\\\\",
        "()",
        "[&&a]",
        "[a~~b]",
        "}",
        "-",
    ]);
    prop::collection::vec(part, 1..6).prop_map(|parts| parts.concat())
}

/// The rules by which xtrabackup decides, on names without other forms and without partitions.
fn kept_by_the_rules(filter: &TableFilter, schema: &str, table: &str) -> bool {
    let full = format!("{schema}.{table}");
    let starts = |list: &[String]| list.iter().any(|e| e.starts_with(&format!("{schema}.")));
    let has = |list: &[String], name: &str| list.iter().any(|e| e == name);
    let found = |list: &[String]| {
        list.iter()
            .any(|p| regex::Regex::new(p).unwrap().is_match(&full))
    };
    if is_of_server(schema) {
        return true;
    }
    if has(&filter.databases_exclude, schema) {
        return false;
    }
    let (whole, some) = (has(&filter.databases, schema), starts(&filter.databases));
    if !filter.databases.is_empty() && !whole && !some {
        return false;
    }
    if has(&filter.databases_exclude, &full) || found(&filter.tables_exclude) {
        return false;
    }
    let named = has(&filter.databases, &full) || has(&filter.tables_listed, &full);
    if named || found(&filter.tables) || whole {
        return true;
    }
    !some && filter.tables.is_empty() && filter.tables_listed.is_empty()
}

fn entries(choices: &'static [&'static str]) -> impl Strategy<Value = Vec<String>> {
    let one = prop::sample::select(choices).prop_map(str::to_owned);
    prop::collection::vec(one, 0..3)
}

const NAMES: &[&str] = &["x", "y", "x.a", "x.b", "y.a", "mysql"];
const QUALIFIED: &[&str] = &["x.a", "x.b", "y.a", "z.c"];
const PATTERNS: &[&str] = &["^x", "a$", "[.]b", "^y[.]a$", "z"];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn expressions_find_the_lines_that_grep_finds(pattern in pattern()) {
        if let Ok(compiled) = pattern::compile(&pattern) {
            let found: Vec<&str> = LINES.into_iter().filter(|line| compiled.is_match(line)).collect();
            let expected = found_by_grep(&pattern, &LINES);
            prop_assert_eq!(Some(found), expected.as_ref().map(|lines| lines.iter().map(String::as_str).collect()), "{}", pattern);
        }
    }

    #[test]
    fn the_matcher_decides_as_the_rules(
        databases in entries(NAMES), databases_exclude in entries(NAMES), tables in entries(PATTERNS),
        tables_exclude in entries(PATTERNS), tables_listed in entries(QUALIFIED),
    ) {
        let filter = TableFilter { databases, databases_exclude, tables, tables_exclude, tables_listed };
        let matcher = Matcher::new(&filter.clone().normalised()).unwrap();
        for schema in ["x", "y", "z", "mysql"] {
            for table in ["a", "b", "c"] {
                let name = TableName::of_file(schema, table);
                prop_assert_eq!(&name, &TableName::written(schema, table));
                let expected = kept_by_the_rules(&filter, schema, table);
                prop_assert_eq!(matcher.keeps(&name), expected, "{}.{} of {}", schema, table, filter);
            }
        }
    }

    #[test]
    fn arbitrary_expressions_do_not_panic(pattern in ".{0,30}") {
        let _ = pattern::compile(&pattern);
    }

    #[test]
    fn arbitrary_names_do_not_panic(name in "[@a-z0-9G]{0,20}|.{0,10}") {
        let _ = decoded(&name);
    }
}
