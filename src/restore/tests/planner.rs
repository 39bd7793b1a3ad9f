//! Chains and manifests that must be refused before anything is written.

use super::super::RestoreError;
use crate::innodb::{Lsn, SpaceId};
use crate::manifest::{CompressionFormat, FileRole, Manifest, SpaceFile, StoredPath, Wrapping};
use crate::reader::ReadError;
use crate::reader::fixture::{Space, World, start_of, system};

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

/// Returns the error for a chain of two members whose second manifest is changed.
fn error_of_chain(change: impl FnOnce(&mut Manifest)) -> RestoreError {
    let mut world = World::new();
    let mut spaces = system();
    spaces.push(Space::new(7, "db/t.ibd", 6, 50));
    world.backup(&spaces);
    world.backup_with_changes(&spaces, change);
    world.plan(1).unwrap_err()
}

/// Returns the error for a full backup whose manifest is changed.
fn error_of_full(change: impl FnOnce(&mut Manifest)) -> RestoreError {
    let mut world = World::new();
    let mut spaces = system();
    spaces.push(Space::new(7, "db/t.ibd", 6, 50));
    world.backup_with_changes(&spaces, change);
    world.plan(0).unwrap_err()
}

#[test]
fn a_member_without_overlap() {
    let error = error_of_chain(|manifest| manifest.lsn.scan_floor = Lsn(start_of(0) + 1));
    assert!(
        matches!(error, RestoreError::Read(ReadError::NoOverlap { .. })),
        "{error}"
    );
    let text = error.to_string();
    for part in ["1000101", "1000100", "-incr", "-full", "xtrabackup"] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[test]
fn members_that_do_not_belong_together() {
    type Bend = fn(&mut Manifest);
    let changes: [(&str, Bend); 6] = [
        ("server uuid", |m| m.server.uuid = "another".into()),
        ("from_lsn", |m| m.lsn.from_lsn.0 += 1),
        ("redo log uuid", |m| m.server.redo_log_uuid += 1),
        ("redo format", |m| m.server.redo_format = 7),
        ("page size", |m| {
            m.server.page_size = crate::innodb::PageSize::new(8192).unwrap();
        }),
        // Another incremental of the base, with the same start, that ends before it.
        ("last_lsn", |m| {
            m.lsn.start_checkpoint = Lsn(start_of(0));
            m.lsn.to_lsn = Lsn(start_of(0));
            m.lsn.last_lsn = Lsn(start_of(0) + 3_999);
        }),
    ];
    for (what, change) in changes {
        let text = error_of_chain(change).to_string();
        assert!(text.contains(what), "{what} in {text}");
    }
}

#[test]
fn paths_that_leave_the_directory_or_collide() {
    for path in [
        "../x.ibd",
        "/etc/x",
        "db/../../x",
        "db\\x",
        "db/x\0",
        "mysql.ibd",
        "mysql.ibd/x",
    ] {
        let error = error_of_full(|manifest| {
            let mut space = space(manifest, "db/t.ibd");
            space.name = path.into();
            set(manifest, "db/t.ibd", space);
        });
        assert!(
            matches!(error, RestoreError::Read(ReadError::Path { .. })),
            "{path}: {error}"
        );
    }
    let error = error_of_full(|manifest| {
        let plain = manifest
            .files
            .iter_mut()
            .find(|f| f.path.as_stored() == "db/t.sdi")
            .unwrap();
        plain.path = StoredPath::new("../../home/x");
    });
    assert!(
        matches!(error, RestoreError::Read(ReadError::Path { .. })),
        "{error}"
    );
}

#[test]
fn a_tablespace_twice() {
    let error = error_of_full(|manifest| {
        let mut space = space(manifest, "db/t.ibd");
        space.space_id = SpaceId::DICTIONARY;
        set(manifest, "db/t.ibd", space);
    });
    assert!(error.to_string().contains("also stored"), "{error}");
}

#[test]
fn lengths_that_are_not_whole_pages() {
    for bytes in [0, 1, 1025, !1023] {
        error_of_full(|manifest| {
            let mut space = space(manifest, "db/t.ibd");
            space.bytes = bytes;
            set(manifest, "db/t.ibd", space);
        });
    }
}

#[test]
fn pages_of_another_size_in_an_older_member() {
    let error = error_of_chain(|manifest| {
        let mut space = space(manifest, "db/t.ibd.delta");
        space.page_size = crate::innodb::PageSize::new(2048).unwrap();
        set(manifest, "db/t.ibd.delta", space);
    });
    assert!(error.to_string().contains("2048"), "{error}");
}

#[test]
fn files_without_which_a_server_does_not_start() {
    for path in ["ibdata1", "mysql.ibd", "xtrabackup_logfile"] {
        let error =
            error_of_full(|manifest| manifest.files.retain(|file| file.path.as_stored() != path));
        assert!(error.to_string().contains(path), "{error}");
    }
}

/// Creates a chain with a tablespace that its second member lacks. The table existed from the
/// beginning, so its pages are old.
fn gap(floors: bool) -> (World, Vec<Space>) {
    let mut world = World::new();
    world.floors = floors;
    let mut spaces = system();
    spaces.push(Space::new(7, "db/t.ibd", 6, 50));
    world.backup(&spaces);
    world.backup(&system());
    spaces[2].pages[4] = None;
    world.backup(&spaces);
    (world, spaces)
}

/// The floor of the delta in the member that has it again shows that it is the whole file.
#[test]
fn a_tablespace_with_a_gap_is_read_from_the_member_that_has_it_again() {
    let (mut world, mut spaces) = gap(true);
    world.merge(2).unwrap().expect(&spaces);
    assert_eq!(world.plan(2).unwrap().files[2].sources.len(), 1);
    spaces[2].write(1, start_of(2) + 1, 7);
    world.backup(&spaces);
    world.merge(3).unwrap().expect(&spaces);
    assert_eq!(world.plan(3).unwrap().files[2].sources.len(), 2);
}

/// Without recorded floors, its pages of that time may be missing.
#[test]
fn a_gap_in_the_chain_of_a_tablespace() {
    let (world, _) = gap(false);
    let error = world.plan(2).unwrap_err();
    assert!(error.to_string().contains("missing here"), "{error}");
}

/// A delta that omits old pages needs a base that has them.
#[test]
fn a_delta_without_its_base() {
    let (mut world, _) = gap(true);
    let newest = &mut world.chain[2];
    let mut back = space(newest, "db/t.ibd.delta");
    back.floor = Some(newest.lsn.scan_floor);
    set(newest, "db/t.ibd.delta", back);
    let error = world.plan(2).unwrap_err();
    assert!(error.to_string().contains("has only pages"), "{error}");
}

/// `IMPORT TABLESPACE` between two backups: another file with the same id. The zero pages of the
/// new one must not be replaced by those of the old one.
#[test]
fn a_whole_delta_hides_older_members() {
    let mut world = World::new();
    let mut spaces = system();
    spaces.push(Space::new(7, "db/t.ibd", 6, 50));
    world.backup(&spaces);
    spaces[2] = Space::new(7, "db/t.ibd", 6, start_of(0) + 7);
    spaces[2].pages[3] = None;
    world.backup_with_changes(&spaces, |manifest| {
        let mut imported = space(manifest, "db/t.ibd.delta");
        imported.floor = Some(Lsn(0));
        set(manifest, "db/t.ibd.delta", imported);
    });
    world.merge(1).unwrap().expect(&spaces);
}

/// A schema can have the name of a file that only describes the backup.
#[test]
fn a_schema_named_like_metadata() {
    let mut world = World::new();
    let mut spaces = system();
    for (id, name) in (7..).zip([
        "xtrabackup_info",
        "xtrabackup_tablespaces",
        "xtrabackup_logfile",
    ]) {
        spaces.push(Space::new(id, &format!("{name}/t.ibd"), 6, 50));
    }
    world.backup(&spaces);
    world.backup(&spaces);
    for number in [0, 1] {
        let plan = world.plan(number).unwrap();
        assert!(plan.plain.iter().all(|file| file.path != "xtrabackup_info"));
        let merged = world.merge(number).unwrap();
        for space in &spaces {
            let file = merged.dir.path().join(&space.name);
            assert_eq!(std::fs::read(file).unwrap(), space.bytes());
        }
    }
}

/// The base of a chain must contain images.
#[test]
fn a_delta_in_the_full_backup() {
    let error = error_of_full(|manifest| {
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
fn the_plan_describes_the_restore() {
    let mut world = World::new();
    let mut spaces = system();
    spaces.push(Space::new(7, "db/t.ibd", 6, 50));
    world.backup(&spaces);
    spaces[2].write(1, start_of(0) + 1, 4);
    world.backup_with_changes(&spaces, |manifest| {
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

/// Holes of the source's file are not written; compressed files are longer than their objects in
/// the repository.
#[test]
fn the_needed_space_is_that_of_the_written_bytes() {
    let mut world = World::new();
    let mut spaces = system();
    spaces.push(Space::new(7, "db/t.ibd", 40, 50));
    world.backup(&spaces);
    let whole = world.plan(0).unwrap().write_bytes;
    let mut table = space(&mut world.chain[0], "db/t.ibd");
    table.allocated = Some(4096);
    set(&mut world.chain[0], "db/t.ibd", table.clone());
    let with_holes = world.plan(0).unwrap().write_bytes;
    assert!(with_holes + 30 * 1024 < whole, "{with_holes} of {whole}");

    table.allocated = None;
    set(&mut world.chain[0], "db/t.ibd", table);
    let file = world.chain[0].files.iter_mut();
    let file = file
        .into_iter()
        .find(|f| f.plain_path() == "db/t.ibd")
        .unwrap();
    file.objects.iter_mut().for_each(|object| object.bytes = 1);
    let tiny = world.plan(0).unwrap().write_bytes;
    let file = world.chain[0].files.iter_mut();
    let file = file
        .into_iter()
        .find(|f| f.plain_path() == "db/t.ibd")
        .unwrap();
    file.path = StoredPath::new("db/t.ibd.zst");
    file.wrapping = Some(Wrapping {
        compression: Some(CompressionFormat::Zstd),
        encryption: None,
    });
    let unpacked = world.plan(0).unwrap().write_bytes;
    assert!(tiny + 30 * 1024 < unpacked, "{tiny}, {unpacked}");
}

#[test]
fn a_plan_lists_the_settings_of_the_restored_server() {
    let mut world = World::new();
    world.backup(&system());
    assert_eq!(world.plan(0).unwrap().settings, []);
    let server = &mut world.chain[0].server;
    server.lower_case_table_names = 1;
    server.data_file_path = "/fast/ibdata1:12M:autoextend:max:5G".into();
    server.page_size = crate::innodb::PageSize::new(8192).unwrap();
    let mut system = space(&mut world.chain[0], "ibdata1");
    system.external = Some("/fast".into());
    set(&mut world.chain[0], "ibdata1", system);
    let plan = world.plan(0).unwrap();
    let settings: Vec<_> = plan
        .settings
        .iter()
        .map(|s| (s.name.as_str(), s.value.as_deref()))
        .collect();
    assert_eq!(
        settings,
        [
            ("lower_case_table_names", Some("1")),
            ("innodb_page_size", Some("8192")),
            (
                "innodb_data_file_path",
                Some("ibdata1:12M:autoextend:max:5G")
            ),
            ("innodb_data_home_dir", None),
        ]
    );
    let text = plan.to_string();
    assert!(text.contains("set lower_case_table_names = 1"), "{text}");
    assert!(text.contains("do not set innodb_data_home_dir"), "{text}");
}

/// Names that are used in the command line of a server, or in the index of its binary log.
#[test]
fn names_for_a_server_must_be_plain_file_names() {
    use crate::restore::planning::check_names;
    let mut world = World::new();
    world.plain = vec![
        ("b.1".into(), "x".into()),
        ("b.index".into(), "./b.1\n".into()),
    ];
    world.backup(&system());
    for file in &mut world.chain[0].files {
        if file.plain_path().starts_with("b.") {
            file.role = FileRole::BinaryLog;
        }
    }
    check_names(&world.chain[0]).unwrap();
    let log = |world: &mut World, name: &str| {
        world.chain[0].binlog.as_mut().unwrap().file = name.to_owned();
        check_names(&world.chain[0]).map_err(|e| e.to_string())
    };
    for bad in ["../b.1", "/b.1", "b", "b.2", "c.1", "", "b.1\n", "b.index"] {
        let error = log(&mut world, bad).unwrap_err();
        assert!(error.contains("binary log"), "{bad}: {error}");
    }
    log(&mut world, "b.1").unwrap();
    world.chain[0].server.data_file_path = "..:1M".into();
    assert!(check_names(&world.chain[0]).is_err());
}

/// A `.meta` is for xtrabackup; one with an impossible length is refused, like by a verification.
#[test]
fn a_meta_has_the_length_of_its_text() {
    use crate::delta::Meta;
    use crate::manifest::StoredPath;
    use crate::reader::layout::lay_out;
    let mut world = World::new();
    let mut spaces = system();
    world.backup(&spaces);
    spaces[1].write(1, start_of(0), 2);
    world.backup(&spaces);
    let space = space(&mut world.chain[1], "mysql.ibd.delta");
    let length = Meta::of(space.space_id, space.flags, space.page_size)
        .encode()
        .len() as u64;
    let mut meta = world.chain[1].files[0].clone();
    meta.path = StoredPath::new("mysql.ibd.meta");
    meta.role = FileRole::DeltaMeta;
    world.chain.reverse();
    for (bytes, good) in [(length, true), (length + 1, false), (0, false)] {
        let mut chain = world.chain.clone();
        meta.bytes = bytes;
        chain[0].files.push(meta.clone());
        let found = lay_out(&chain).map(|_| ()).map_err(|e| e.to_string());
        assert_eq!(found.is_ok(), good, "{bytes}: {found:?}");
    }
}
