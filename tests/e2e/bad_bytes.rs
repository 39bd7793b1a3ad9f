//! Damage: on the server's disk, and in the repository.

use crate::bad_chain::objects;
use crate::lsnap;
use crate::sandbox::{SOURCE, Sandbox, run, scratch};
use std::os::unix::fs::FileExt;
use std::path::Path;

fn flip(path: &Path, offset: u64) {
    let file = std::fs::File::options()
        .read(true)
        .write(true)
        .open(path)
        .unwrap();
    let mut byte = [0u8];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ 0x40], offset).unwrap();
    file.sync_all().unwrap();
}

#[test]
fn a_corrupt_page_on_the_server_fails_the_backup_by_name() {
    let room = scratch();
    let server = Sandbox::start("e2e-corrupt", &[SOURCE]);
    let mut conn = server.connect();
    run(&mut conn, "CREATE DATABASE d");
    run(
        &mut conn,
        "CREATE TABLE d.idle (id INT PRIMARY KEY, c VARCHAR(200))",
    );
    run(
        &mut conn,
        "INSERT INTO d.idle WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 900) \
         SELECT i, REPEAT('x', 200) FROM n",
    );
    run(&mut conn, "FLUSH TABLES d.idle FOR EXPORT");
    run(&mut conn, "UNLOCK TABLES");
    let space = crate::sandbox::value(
        &mut conn,
        "SELECT SPACE FROM information_schema.INNODB_TABLESPACES WHERE NAME = 'd/idle'",
    );
    let file = server.datadir().join("d/idle.ibd");
    flip(&file, 5 * 16384 + 8000);
    lsnap::try_backup(&server, room.path(), &[]).refused(13, &["idle.ibd", "page 5", &space]);
    let listed = lsnap::list(room.path()).to_string().to_lowercase();
    assert!(
        !listed.contains("\"finished\""),
        "a failed backup looks finished: {listed}"
    );

    flip(&file, 5 * 16384 + 8000);
    let full = lsnap::full(&server, room.path());

    // One flipped byte in a stored object: the restore names the object and doesn't create a data
    // directory.
    let repository = room.path();
    let beside = scratch();
    let target = beside.path().join("target");
    for prefix in ["idle.ibd", "xtrabackup_logfile", "ibdata1", "mysql.ibd"] {
        let object = objects(repository, &full.name, prefix).remove(0);
        let length = std::fs::metadata(&object).unwrap().len();
        flip(&object, length / 2);
        let mysqld = server.program("mysqld");
        let arguments = [
            "--redo-applier",
            "mysqld",
            "--mysqld",
            mysqld.to_str().unwrap(),
        ];
        lsnap::try_restore(repository, &full.name, &target, &arguments)
            .refused(13, &[&object.file_name().unwrap().to_string_lossy()]);
        assert!(!target.exists(), "a refused restore left a target");
        flip(&object, length / 2);
    }
    lsnap::restore(&server, repository, &full.name, &target);
}
