//! What may not be silently wrong: incomplete backups, and files that a server would apply.

use super::*;

fn plan(room: &Room) -> (Source, Places, Plan) {
    let source = Source::open(&room.backup()).unwrap();
    let places = Places::of(&room.options(), &source).unwrap();
    let plan = Plan::of(&source, &places).unwrap();
    (source, places, plan)
}

/// Leaves a data directory as a run that was killed before the first file.
fn begin(room: &Room) -> Marker {
    let (source, _, plan) = plan(room);
    let options = room.options();
    fs::create_dir(room.data()).unwrap();
    Marker::write(&room.data(), &source, &plan, &Placing::new(&options, false)).unwrap()
}

#[test]
fn the_redo_log_is_placed_late_and_never_as_an_empty_directory() {
    let room = Room::new();
    let (_, _, plan) = plan(&room);
    let names = plan.files.iter().filter(|file| file.is_last);
    let names = names.map(|file| file.from.file_name().unwrap().to_str().unwrap());
    assert_eq!(
        names.collect::<Vec<_>>(),
        ["#ib_redo0", "mysql.ibd", "ibdata2", "ibdata1"]
    );
    fs::remove_file(room.backup().join("#innodb_redo/#ib_redo0")).unwrap();
    back(&room.options(), &Silent).unwrap();
    assert!(!room.data().join("#innodb_redo").exists());
}

#[test]
fn a_move_that_moved_nothing_leaves_the_backup_usable() {
    let room = Room::new();
    let error = room.error(|options| {
        options.move_files = true;
        options.cancel.cancel();
    });
    assert!(
        matches!(error, BackError::Unfinished { done: 0, .. }),
        "{error}"
    );
    let mut options = room.options();
    options.datadir = room.dir.path().join("elsewhere");
    back(&options, &Silent).unwrap();
    assert_eq!(tree(&options.datadir), placed());
}

#[test]
fn logs_of_another_server_are_refused() {
    for name in ["#ib_16384_0.dblwr", "#ib_16384_1.bdblwr", "ib_logfile0"] {
        for below in ["data", "home"] {
            let room = Room::new();
            write(&room.dir.path().join(below).join(name), "stale");
            let refused = room.refused(|options| {
                options.force_non_empty = true;
                options.data_home = Some("../home".into());
            });
            assert!(
                refused.contains("the server would apply") && refused.contains(name),
                "{refused}"
            );
        }
    }
}

#[test]
fn a_run_that_continues_refuses_logs_of_another_server() {
    let room = Room::new();
    drop(begin(&room));
    for name in ["#innodb_redo/#ib_redo7", "#ib_16384_0.dblwr"] {
        let stale = room.data().join(name);
        write(&stale, "stale");
        let refused = room.refused(|_| ());
        assert!(refused.contains("the server would apply"), "{refused}");
        fs::remove_file(&stale).unwrap();
    }
    // Those of the former run, the second of them incomplete. The backup has the first no more.
    let redo = room.backup().join("#innodb_redo/#ib_redo0");
    write(&room.data().join("#innodb_redo/#ib_redo0"), "lazy");
    write(
        &room
            .data()
            .join("#innodb_redo/.lsnap-back-0123456789abcdef"),
        "la",
    );
    fs::remove_file(redo).unwrap();
    assert!(back(&room.options(), &Silent).unwrap().continued);
    assert_eq!(tree(&room.data()), placed());
}

#[test]
fn a_second_run_at_the_same_time_is_refused() {
    let room = Room::new();
    let live = begin(&room);
    write(&room.data().join(".lsnap-back-0123456789abcdef"), "half");
    let refused = room.refused(|_| ());
    assert!(refused.contains("another run places"), "{refused}");
    let (source, _, plan) = plan(&room);
    let options = room.options();
    let placing = Placing::new(&options, false);
    let refused = Marker::write(&room.data(), &source, &plan, &placing).unwrap_err();
    assert!(
        refused.to_string().contains("another run places"),
        "{refused}"
    );
    drop(live);
    assert!(back(&room.options(), &Silent).unwrap().continued);
    assert_eq!(tree(&room.data()), placed());
}

#[test]
fn new_directories_are_synced_before_a_file_of_the_backup_is_removed() {
    let room = Room::new();
    let (_, _, plan) = plan(&room);
    let mut options = room.options();
    options.move_files = true;
    let placing = Placing::new(&options, false);
    let table = plan.files.iter().find(|file| file.to.ends_with("db/t.ibd"));
    let staged = placing.stage(table.unwrap()).unwrap();
    assert!(!placing.syncs.is_kept(&room.data()));
    placing.finish(staged).unwrap();
    assert!(placing.syncs.is_kept(&room.data()) && placing.syncs.is_kept(&room.data().join("db")));
}

#[test]
fn a_file_that_was_lost_after_prepare_is_missed() {
    let room = Room::new();
    let list = serde_json::json!({"files": [
        "db/t.ibd", "ibdata1", "ibdata2", "more.ibu", "mysql.ibd", "undo_001"], "redo_pending": true});
    write(
        &room.backup().join("lsnap_prepared.json"),
        &list.to_string(),
    );
    for name in ["db/t.ibd", "undo_001", "#innodb_redo/#ib_redo0"] {
        let (path, aside) = (room.backup().join(name), room.dir.path().join("aside"));
        fs::rename(&path, &aside).unwrap();
        let refused = room.refused(|_| ());
        assert!(refused.contains(&format!("it has no {name}")), "{refused}");
        fs::rename(&aside, &path).unwrap();
    }
    // A former run moved it.
    drop(begin(&room));
    for name in ["db/t.ibd", "#innodb_redo/#ib_redo0"] {
        write(
            &room.data().join(name),
            &fs::read_to_string(room.backup().join(name)).unwrap(),
        );
        fs::remove_file(room.backup().join(name)).unwrap();
    }
    assert!(back(&room.options(), &Silent).unwrap().continued);
    assert_eq!(tree(&room.data()), placed());
}
