//! Repositories with backups of a real server: names of the maximum length of the file system, and
//! a prune during a restore.

use crate::lsnap;
use crate::sandbox::{RESTORED, SOURCE, Sandbox};
use crate::sealed::KEY;
use mysql::prelude::Queryable;
use std::time::{Duration, Instant};

/// Returns a table whose file has `len` bytes in its name: `一` is encoded as `@4e00` there.
fn table(len: usize) -> String {
    let rest = len - ".ibd".len();
    let (wide, narrow) = (rest / 5, rest % 5);
    format!("{}{}", "一".repeat(wide), "a".repeat(narrow))
}

/// Earlier versions handled up to 225 bytes, and full backups up to 231; the last length is the
/// maximum.
const LENGTHS: [usize; 5] = [225, 226, 231, 232, 254];

fn sums(server: &Sandbox) -> Vec<Option<u64>> {
    let mut conn = server.connect();
    let sum = |len: &usize| {
        let sql = format!("SELECT CAST(SUM(v) AS UNSIGNED) FROM d.`{}`", table(*len));
        conn.query_first(sql).unwrap().unwrap()
    };
    LENGTHS.iter().map(sum).collect()
}

#[test]
fn long_names_and_a_prune_while_a_restore_reads() {
    let source = Sandbox::start("e2e-repository", &[SOURCE]);
    let room = tempfile::tempdir().unwrap();
    let repository = room.path().join("repository");
    source.run("CREATE DATABASE d");
    for len in LENGTHS {
        source.run(&format!(
            "CREATE TABLE d.`{}` (v INT PRIMARY KEY)",
            table(len)
        ));
        source.run(&format!("INSERT INTO d.`{}` VALUES ({len})", table(len)));
        let files = std::fs::read_dir(source.datadir().join("d")).unwrap();
        let mut lengths = files.map(|file| file.unwrap().file_name().len());
        assert!(lengths.any(|found| found == len), "no file of {len} bytes");
    }
    let key = room.path().join("key");
    std::fs::write(&key, KEY).unwrap();
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let key = ["--encrypt-key-file", key.to_str().unwrap()];
    let sealed = [&["--compress", "--encrypt=AES256"][..], &key].concat();
    let open = [&["--decrypt=AES256"][..], &key].concat();

    let plain = lsnap::full(&source, &repository);
    let change = |by: usize| {
        for len in LENGTHS {
            let value = len * 1000 + by;
            source.run(&format!("INSERT INTO d.`{}` VALUES ({value})", table(len)));
        }
    };
    change(1);
    lsnap::incremental(&source, &repository);
    let wrapped = lsnap::backup(&source, &repository, &sealed);
    change(2);
    let incremental = [&["--incremental"][..], &sealed].concat();
    let last = lsnap::backup(&source, &repository, &incremental);
    let expected = sums(&source);
    let url = lsnap::url(&repository);
    // one of the chains is not encrypted
    let verify = ["verify", "--all", "--data", "--from", &url];
    let verify = verify.into_iter().chain(["--accept-unauthenticated"]);
    lsnap::lsnap(verify.chain(open.iter().copied())).ok();

    // slow enough to be still running, and announced before it reads
    let datadir = room.path().join("restored");
    let mysqld = source.program("mysqld");
    let restoring = lsnap::command()
        .args(["restore", "--from", &url, &last.name, "--max-rate", "4M"])
        .arg("--datadir")
        .arg(&datadir)
        .args([
            "--user",
            &lsnap::owner(),
            "--redo-applier",
            "mysqld",
            "--mysqld",
        ])
        .arg(mysqld)
        .args(&open)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let readers = repository.join(".lsnap/readers");
    let begun = Instant::now();
    while !readers.exists() {
        assert!(begun.elapsed() < Duration::from_secs(60), "no reader");
        std::thread::sleep(Duration::from_millis(5));
    }
    let prune = [
        "prune",
        "--from",
        &url,
        "--keep-full",
        "0",
        "--all",
        "--json",
    ];
    let pruned = lsnap::lsnap(prune).ok().json;
    assert_eq!(pruned["skipped"][0]["name"], wrapped.name, "{pruned}");
    assert_eq!(pruned["deleted"].as_array().unwrap().len(), 2, "{pruned}");
    let delete = ["delete", "--cascade", "--from", &url, &wrapped.name];
    lsnap::lsnap(delete).refused(11, &["is being read", "restore"]);
    lsnap::said(restoring.wait_with_output().unwrap()).ok();
    assert!(!repository.join(&plain.name).exists() && !readers.exists());
    lsnap::lsnap(delete).ok();

    let restored = Sandbox::start_on("e2e-repository-restored", &datadir, &[RESTORED]);
    assert_eq!(sums(&restored), expected);
}
