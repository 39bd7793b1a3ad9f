//! Tests of the comparison, case by case and with random lists.

use super::*;
use crate::datadir::{DictionarySpace, ServerTablespace};
use proptest::prelude::*;

fn file(path: &str, content: DiskContent) -> DiskFile {
    DiskFile {
        path: path.into(),
        real: path.into(),
        content,
        found: true,
    }
}

fn space(path: &str, id: u32) -> DiskFile {
    file(path, DiskContent::Tablespace(SpaceId(id)))
}

fn listed(id: u32, path: Option<&str>, discarded: bool) -> DictionarySpace {
    DictionarySpace {
        space_id: SpaceId(id),
        name: format!("db/t{id}"),
        path: path.map(PathBuf::from),
        undo: false,
        discarded,
    }
}

fn open(id: u32, path: &str) -> ServerTablespace {
    ServerTablespace {
        space_id: SpaceId(id),
        name: format!("db/t{id}"),
        path: path.into(),
        undo: false,
    }
}

fn kinds(c: &Comparison) -> Vec<(Option<u32>, &str, &DifferenceKind)> {
    let each = c.differences.iter();
    each.map(|d| {
        let id = d.space_id.map(|id| id.0);
        (id, d.path.to_str().unwrap(), &d.kind)
    })
    .collect()
}

#[test]
fn every_difference_has_its_kind() {
    let lists = ServerLists {
        dictionary: vec![
            listed(1, Some("1"), false),
            listed(2, Some("2"), false),
            listed(3, Some("3"), true),
            listed(4, Some("4"), false),
            listed(5, Some("5"), false),
            listed(6, Some("6"), false),
            listed(7, None, false),
            listed(12, Some("old"), false),
        ],
        open: vec![open(1, "1"), open(8, "8"), open(12, "new")],
    };
    let disk = [
        space("1", 1),
        space("2", 2),
        space("3", 3),
        file("4", DiskContent::Nothing),
        space("5", 55),
        file("6", DiskContent::NoTablespace("it has 0 bytes".into())),
        space("7", 7),
        space("8", 8),
        space("9", 9),
        space("10", 4),
        file("11", DiskContent::NoTablespace("zeros".into())),
        space("new", 12),
        file("old", DiskContent::Nothing),
    ];
    let found = compare(&lists, &disk);
    let taken: Vec<_> = found.taken.iter().map(|t| t.space_id.0).collect();
    assert_eq!(taken, [1, 2, 7, 8, 12]);
    let missing = |why: &str| DifferenceKind::Missing(why.to_owned());
    let expected = [
        (Some(2), "2", &DifferenceKind::NotOpened),
        (Some(3), "3", &DifferenceKind::Discarded),
        (
            Some(4),
            "4",
            &missing("the file doesn't exist; a file with its id is 10"),
        ),
        (Some(5), "5", &missing("the file at this path is space 55")),
        (
            Some(6),
            "6",
            &missing("the file at this path is not a tablespace: it has 0 bytes"),
        ),
        (Some(7), "7", &DifferenceKind::NotOpened),
        (Some(55), "5", &DifferenceKind::Unknown),
        (
            None,
            "6",
            &DifferenceKind::NoTablespace("it has 0 bytes".into()),
        ),
        (Some(9), "9", &DifferenceKind::Unknown),
        (Some(4), "10", &DifferenceKind::Copy),
        (None, "11", &DifferenceKind::NoTablespace("zeros".into())),
    ];
    assert_eq!(kinds(&found), expected);
}

#[test]
fn a_discarded_tablespace_that_is_open_is_taken() {
    let lists = ServerLists {
        dictionary: vec![listed(3, Some("3"), true)],
        open: vec![open(3, "3")],
    };
    let found = compare(&lists, &[space("3", 3)]);
    assert_eq!((found.taken.len(), kinds(&found).len()), (1, 0));
}

#[test]
fn a_path_that_differs_only_in_case_is_the_same_file() {
    let lists = ServerLists {
        dictionary: vec![listed(1, Some("db/t#p#p0.ibd"), false)],
        open: Vec::new(),
    };
    let found = compare(&lists, &[space("db/t#P#p0.ibd", 1)]);
    assert_eq!(found.taken[0].path, Path::new("db/t#P#p0.ibd"));
    assert_eq!(
        kinds(&found),
        [(Some(1), "db/t#P#p0.ibd", &DifferenceKind::NotOpened)]
    );
    let found = compare(&lists, &[space("db/u#p#p0.ibd", 1)]);
    assert!(found.taken.is_empty());
}

#[test]
fn a_file_reached_by_two_paths_is_one() {
    let lists = ServerLists {
        dictionary: vec![listed(1, Some("linked/1"), false)],
        open: vec![open(1, "linked/1")],
    };
    let mut linked = space("linked/1", 1);
    (linked.real, linked.found) = ("elsewhere/1".into(), false);
    let found = compare(&lists, &[linked, space("elsewhere/1", 1)]);
    assert_eq!(kinds(&found), []);
    assert_eq!(found.taken[0].path, Path::new("linked/1"));
}

#[test]
fn an_undo_tablespace_truncated_between_two_queries_is_taken_once() {
    let undo = |id: u32| ServerTablespace {
        name: "u".into(),
        undo: true,
        ..open(id, "u")
    };
    for on_disk in [90, 91] {
        let lists = ServerLists {
            dictionary: vec![DictionarySpace {
                name: "u".into(),
                undo: true,
                ..listed(90, Some("u"), false)
            }],
            open: vec![undo(91)],
        };
        let found = compare(&lists, &[space("u", on_disk)]);
        assert_eq!(kinds(&found), []);
        assert_eq!(found.taken[0].space_id, SpaceId(on_disk));
    }
}

/// Generates lists with few ids and paths, so that they agree and contradict each other in many
/// ways.
fn lists() -> impl Strategy<Value = (ServerLists, Vec<DiskFile>)> {
    let path = || prop::sample::select(vec!["a", "b", "c", "d", "e"]);
    let dictionary =
        prop::collection::btree_map(1u32..6, (prop::option::of(path()), any::<bool>()), 0..5);
    let opened = prop::collection::btree_map(1u32..6, path(), 0..5);
    let content = prop_oneof![
        Just(DiskContent::Nothing),
        (1u32..8).prop_map(|id| DiskContent::Tablespace(SpaceId(id))),
        Just(DiskContent::NoTablespace("x".into())),
    ];
    let disk = prop::collection::vec((content, any::<bool>()), 5);
    (dictionary, opened, disk).prop_map(|(dictionary, opened, disk)| {
        let lists = ServerLists {
            dictionary: dictionary
                .into_iter()
                .map(|(id, (path, gone))| listed(id, path, gone))
                .collect(),
            open: opened
                .into_iter()
                .map(|(id, path)| open(id, path))
                .collect(),
        };
        let disk =
            ["a", "b", "c", "d", "e"]
                .into_iter()
                .zip(disk)
                .map(|(path, (content, found))| DiskFile {
                    found,
                    ..file(path, content)
                });
        (lists, disk.collect())
    })
}

/// Returns whether the difference means that a tablespace of the server isn't taken.
fn is_absence(difference: &Difference) -> bool {
    use DifferenceKind::{Discarded, Missing};
    matches!(difference.kind, Discarded | Missing(_))
}

proptest! {
    /// Every tablespace in one of the three lists is taken or reported, and only tablespaces that
    /// match the server's lists are taken.
    #[test]
    fn every_tablespace_is_taken_or_reported((lists, disk) in lists()) {
        let found = compare(&lists, &disk);
        let taken: Vec<SpaceId> = found.taken.iter().map(|t| t.space_id).collect();
        let count = |id: SpaceId| {
            let absent = found.differences.iter().filter(|d| d.space_id == Some(id) && is_absence(d));
            taken.iter().filter(|t| **t == id).count() + absent.count()
        };
        let ids: HashSet<SpaceId> = lists.dictionary.iter().map(|d| d.space_id)
            .chain(lists.open.iter().map(|o| o.space_id)).collect();
        for id in &ids {
            prop_assert_eq!(count(*id), 1, "space {}", id);
        }
        prop_assert_eq!(taken.len() + found.differences.iter().filter(|d| is_absence(d)).count(), ids.len());
        for t in &found.taken {
            let on_disk = disk.iter().find(|f| f.path == t.path).unwrap();
            prop_assert_eq!(&on_disk.content, &DiskContent::Tablespace(t.space_id));
        }
        for f in disk.iter().filter(|f| f.found && f.content != DiskContent::Nothing) {
            let reported = found.differences.iter().any(|d| d.path == f.path);
            prop_assert!(reported || found.taken.iter().any(|t| t.path == f.path), "{:?}", f);
        }
    }

    /// Lists that agree have no differences.
    #[test]
    fn lists_that_agree_have_no_differences(ids in prop::collection::hash_set(1u32..1000, 0..20)) {
        let at = |id: u32| format!("db/{id}.ibd");
        let lists = ServerLists {
            dictionary: ids.iter().map(|id| listed(*id, Some(&at(*id)), false)).collect(),
            open: ids.iter().map(|id| open(*id, &at(*id))).collect(),
        };
        let disk: Vec<_> = ids.iter().map(|id| space(&at(*id), *id)).collect();
        let found = compare(&lists, &disk);
        prop_assert!(found.differences.is_empty(), "{:?}", found.differences);
        prop_assert_eq!(found.taken.len(), ids.len());
    }
}
