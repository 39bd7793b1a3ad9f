//! Chains and manifests that must be refused before anything is written.

use super::super::RestoreError;
use super::fixture::{Space, World, start_of, system};
use crate::innodb::{Lsn, SpaceId};
use crate::store::{FileRole, Manifest, SpaceFile, StoredPath};

fn space(manifest: &mut Manifest, path: &str) -> SpaceFile {
    let file = manifest
        .files
        .iter()
        .find(|f| f.path.as_stored() == path)
        .unwrap();
    match &file.role {
        FileRole::Tablespace(space) | FileRole::Delta(space) => space.clone(),
        _ => panic!("{path} is no tablespace"),
    }
}

fn set(manifest: &mut Manifest, path: &str, new: SpaceFile) {
    let file = manifest
        .files
        .iter_mut()
        .find(|f| f.path.as_stored() == path)
        .unwrap();
    match &mut file.role {
        FileRole::Tablespace(space) | FileRole::Delta(space) => *space = new,
        _ => panic!("{path} is no tablespace"),
    }
}

/// A chain of two whose second manifest is bent.
fn bent(bend: impl FnOnce(&mut Manifest)) -> RestoreError {
    let mut world = World::new();
    let mut spaces = system();
    spaces.push(Space::new(7, "db/t.ibd", 6, 50));
    world.backup(&spaces);
    world.backup_bent(&spaces, bend);
    world.plan(1).unwrap_err()
}

/// A full backup whose manifest is bent.
fn bent_full(bend: impl FnOnce(&mut Manifest)) -> RestoreError {
    let mut world = World::new();
    let mut spaces = system();
    spaces.push(Space::new(7, "db/t.ibd", 6, 50));
    world.backup_bent(&spaces, bend);
    world.plan(0).unwrap_err()
}

#[test]
fn a_member_without_overlap() {
    let error = bent(|manifest| manifest.lsn.scan_floor = Lsn(start_of(0) + 1));
    assert!(matches!(error, RestoreError::NoOverlap { .. }), "{error}");
    let text = error.to_string();
    for part in ["1000101", "1000100", "-incr", "-full", "xtrabackup"] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[test]
fn members_that_do_not_belong_together() {
    type Bend = fn(&mut Manifest);
    let bends: [(&str, Bend); 5] = [
        ("server uuid", |m| m.server.uuid = "another".into()),
        ("from_lsn", |m| m.lsn.from_lsn.0 += 1),
        ("redo log uuid", |m| m.server.redo_log_uuid += 1),
        ("redo format", |m| m.server.redo_format = 7),
        ("page size", |m| {
            m.server.page_size = crate::innodb::PageSize::new(8192).unwrap();
        }),
    ];
    for (what, bend) in bends {
        let text = bent(bend).to_string();
        assert!(text.contains(what), "{what} in {text}");
    }
}

#[test]
fn paths_that_climb_or_collide() {
    for path in [
        "../x.ibd",
        "/etc/x",
        "db/../../x",
        "db\\x",
        "db/x\0",
        "mysql.ibd",
        "mysql.ibd/x",
    ] {
        let error = bent_full(|manifest| {
            let mut space = space(manifest, "db/t.ibd");
            space.name = path.into();
            set(manifest, "db/t.ibd", space);
        });
        assert!(
            matches!(error, RestoreError::Path { .. }),
            "{path}: {error}"
        );
    }
    let error = bent_full(|manifest| {
        let plain = manifest
            .files
            .iter_mut()
            .find(|f| f.path.as_stored() == "db/t.sdi")
            .unwrap();
        plain.path = StoredPath::new("../../home/x");
    });
    assert!(matches!(error, RestoreError::Path { .. }), "{error}");
}

#[test]
fn a_tablespace_twice() {
    let error = bent_full(|manifest| {
        let mut space = space(manifest, "db/t.ibd");
        space.space_id = SpaceId::DICTIONARY;
        set(manifest, "db/t.ibd", space);
    });
    assert!(error.to_string().contains("also stored"), "{error}");
}

#[test]
fn lengths_that_are_no_pages() {
    for bytes in [0, 1, 1025, !1023] {
        bent_full(|manifest| {
            let mut space = space(manifest, "db/t.ibd");
            space.bytes = bytes;
            set(manifest, "db/t.ibd", space);
        });
    }
}

#[test]
fn pages_of_another_size_in_an_older_member() {
    let error = bent(|manifest| {
        let mut space = space(manifest, "db/t.ibd.delta");
        space.page_size = crate::innodb::PageSize::new(2048).unwrap();
        set(manifest, "db/t.ibd.delta", space);
    });
    assert!(error.to_string().contains("2048"), "{error}");
}

#[test]
fn what_no_server_can_do_without() {
    for path in ["ibdata1", "mysql.ibd", "xtrabackup_logfile"] {
        let error =
            bent_full(|manifest| manifest.files.retain(|file| file.path.as_stored() != path));
        assert!(error.to_string().contains(path), "{error}");
    }
}

/// A tablespace that a member in between lacks: its pages of that time are nowhere.
#[test]
fn a_gap_in_the_chain_of_a_tablespace() {
    let mut world = World::new();
    let mut spaces = system();
    spaces.push(Space::new(7, "db/t.ibd", 6, 50));
    world.backup(&spaces);
    world.backup(&system());
    world.backup(&spaces);
    let error = world.plan(2).unwrap_err();
    assert!(error.to_string().contains("missing here"), "{error}");
}

/// The base of a chain must hold images.
#[test]
fn a_delta_in_the_full_backup() {
    let error = bent_full(|manifest| {
        let file = manifest
            .files
            .iter_mut()
            .find(|f| f.path.as_stored() == "db/t.ibd")
            .unwrap();
        let FileRole::Tablespace(space) = file.role.clone() else {
            panic!()
        };
        file.role = FileRole::Delta(space);
    });
    assert!(error.to_string().contains("no whole image"), "{error}");
}

#[test]
fn the_plan_says_what_will_happen() {
    let mut world = World::new();
    let mut spaces = system();
    spaces.push(Space::new(7, "db/t.ibd", 6, 50));
    world.backup(&spaces);
    spaces[2].write(1, start_of(0) + 1, 4);
    world.backup_bent(&spaces, |manifest| {
        let mut space = space(manifest, "db/t.ibd.delta");
        space.external = Some("/fast/disk".into());
        set(manifest, "db/t.ibd.delta", space);
    });
    let plan = world.plan(1).unwrap();
    assert_eq!(plan.members.len(), 2);
    assert!(plan.members[0].name.ends_with("-incr"));
    let file = plan
        .files
        .iter()
        .find(|file| file.path == "db/t.ibd")
        .unwrap();
    assert_eq!(file.sources.len(), 2);
    assert!(plan.fetch_bytes > 0 && plan.write_bytes > 0);
    let text = plan.to_string();
    assert!(
        text.contains("/fast/disk") && text.contains("merge"),
        "{text}"
    );
    let json = serde_json::to_value(&plan).unwrap();
    assert_eq!(json["files"][0]["sources"][0]["kind"], "delta");
}
