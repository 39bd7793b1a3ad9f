//! Tests of moving old content aside.

use super::super::target::{Target, TargetOptions};
use super::*;

const ASIDE: TargetOptions = TargetOptions {
    keep_failed: false,
    move_aside: true,
};

fn old(datadir: &Path) {
    std::fs::create_dir_all(datadir.join("db")).unwrap();
    for name in ["ibdata1", "mysql.ibd", "db/t.ibd"] {
        std::fs::write(datadir.join(name), "old").unwrap();
    }
}

fn new(target: &Target) {
    std::fs::create_dir(target.root().join("db")).unwrap();
    for name in ["ibdata1", "mysql.ibd", "db/t.ibd"] {
        std::fs::write(target.root().join(name), "new").unwrap();
    }
}

fn is(datadir: &Path, content: &str) -> bool {
    let same =
        |name: &&str| std::fs::read(datadir.join(name)).is_ok_and(|c| c == content.as_bytes());
    ["ibdata1", "mysql.ibd", "db/t.ibd"].iter().all(same)
}

fn entries(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn the_old_directory_is_renamed_at_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let datadir = dir.path().join("data");
    old(&datadir);
    let refused = Target::begin(&datadir, TargetOptions::default()).unwrap_err();
    assert!(
        matches!(refused, RestoreError::NotEmpty { .. }),
        "{refused}"
    );
    let target = Target::begin(&datadir, ASIDE).unwrap();
    new(&target);
    assert!(is(&datadir, "old"));
    let place = target.hand_over().unwrap().unwrap();
    assert!(is(&datadir, "new") && is(&place, "old"));
    let name = place.file_name().unwrap().to_string_lossy().into_owned();
    assert!(name.starts_with("data.old-2"), "{name}");
    assert_eq!(entries(dir.path()), ["data".to_owned(), name]);
    // An empty target needs no move.
    let empty = dir.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    assert_eq!(
        Target::begin(&empty, ASIDE).unwrap().hand_over().unwrap(),
        None
    );
}

#[test]
fn a_failure_leaves_the_old_directory_or_puts_it_back() {
    let dir = tempfile::tempdir().unwrap();
    let datadir = dir.path().join("data");
    old(&datadir);
    drop(Target::begin(&datadir, ASIDE).unwrap());
    assert!(is(&datadir, "old"));
    // Nothing to rename to the target.
    let target = Target::begin_again(&datadir, ASIDE);
    let old_place = target.move_old().unwrap().unwrap();
    assert!(!datadir.exists());
    let error = old_place.put_back(refuse(&datadir, "x"));
    assert!(matches!(error, RestoreError::Target { .. }), "{error}");
    assert!(is(&datadir, "old"));
    // Something is in its place now: the error names the directory.
    let old_place = target.move_old().unwrap().unwrap();
    std::fs::create_dir_all(datadir.join("full")).unwrap();
    let error = old_place.put_back(refuse(&datadir, "x")).to_string();
    let kept = entries(dir.path())
        .into_iter()
        .find(|name| name.contains(".old-"))
        .unwrap();
    assert!(
        error.contains(&kept) && is(&dir.path().join(kept), "old"),
        "{error}"
    );
}

#[test]
fn in_a_kept_directory_the_entries_are_moved_and_put_back() {
    let dir = tempfile::tempdir().unwrap();
    let datadir = dir.path().join("data");
    old(&datadir);
    std::fs::create_dir(datadir.join("lost+found")).unwrap();
    std::fs::create_dir(datadir.join(".lsnap-old-1")).unwrap();
    let now = Utc::now();
    let aside = Aside::entries(&datadir, now).unwrap();
    let place = aside.place.clone();
    assert_eq!(place, place_of_entries(&datadir, now));
    assert!(is(&place, "old"));
    assert_eq!(entries(&datadir).len(), 3, "{:?}", entries(&datadir));
    // An entry that was created meanwhile is not replaced.
    std::fs::write(datadir.join("ibdata1"), "other").unwrap();
    assert!(aside.try_put_back().is_err());
    assert_eq!(std::fs::read(datadir.join("ibdata1")).unwrap(), b"other");
    std::fs::remove_file(datadir.join("ibdata1")).unwrap();
    let missing = |name: &&std::ffi::OsString| place.join(name).exists();
    let rest = aside
        .entries
        .iter()
        .flatten()
        .filter(missing)
        .cloned()
        .collect();
    let aside = Aside {
        entries: Some(rest),
        ..aside
    };
    aside.try_put_back().unwrap();
    assert!(is(&datadir, "old") && !place.exists());
}

#[test]
fn two_moves_in_one_second_have_two_places() {
    let dir = tempfile::tempdir().unwrap();
    let (datadir, now) = (dir.path().join("data"), Utc::now());
    for expected in 1..=3 {
        old(&datadir);
        Aside::whole(&datadir, now).unwrap();
        assert_eq!(entries(dir.path()).len(), expected);
    }
}

#[test]
fn only_data_directories_without_a_server_are_moved() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("home");
    std::fs::create_dir(&home).unwrap();
    std::fs::write(home.join("letter"), "x").unwrap();
    let error = check(&home).unwrap_err().to_string();
    assert!(error.contains("not a data directory"), "{error}");
    let datadir = dir.path().join("data");
    old(&datadir);
    check(&datadir).unwrap();
    // A process has no lock against itself, so another one takes it.
    let script = "import fcntl,sys; f=open(sys.argv[1],'r+'); fcntl.lockf(f, fcntl.LOCK_EX); print(1, flush=True); sys.stdin.read()";
    let mut holder = crate::child::command("python3")
        .args(["-c", script])
        .arg(datadir.join("ibdata1"))
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut byte = [0];
    std::io::Read::read_exact(holder.stdout.as_mut().unwrap(), &mut byte).unwrap();
    let error = check(&datadir).unwrap_err();
    assert!(
        matches!(&error, RestoreError::ServerRuns { pid: Some(pid), .. } if *pid == holder.id()),
        "{error}"
    );
    holder.kill().unwrap();
    holder.wait().unwrap();
    let socket = std::os::unix::net::UnixListener::bind(datadir.join("mysqld.sock")).unwrap();
    let error = check(&datadir).unwrap_err().to_string();
    assert!(error.contains("mysqld.sock answers"), "{error}");
    drop(socket);
    check(&datadir).unwrap();
}
