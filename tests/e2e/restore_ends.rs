//! The ends of restores: interrupted, at every offset at which a redo log can end, despite errors
//! that don't concern the data, and with the files given to the right account.

use crate::lsnap::{self, Said};
use crate::sandbox::{RESTORED, SOURCE, Sandbox, run, scratch, value, wait_for};
use mysql::Conn;
use rustix::process::{Pid, Signal, kill_process};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

fn script(path: &Path, body: &str) {
    std::fs::write(path, format!("#!/bin/sh\n{body}\n")).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn restore_with(
    mysqld: &Path,
    repository: &Path,
    name: &str,
    target: &Path,
    more: &[&str],
) -> Said {
    let mut arguments = vec!["--redo-applier", "mysqld", "--mysqld"];
    arguments.push(mysqld.to_str().unwrap());
    arguments.extend(more);
    lsnap::try_restore(repository, name, target, &arguments)
}

/// A schema whose name Windows reserves makes each start log an error; tables of all engines and
/// names.
#[test]
fn a_schema_called_aux_and_a_restore_that_is_interrupted() {
    let room = scratch();
    let repository = room.path().join("repository");
    std::fs::create_dir(&repository).unwrap();
    let server = Sandbox::start("e2e-ends", &[SOURCE]);
    for sql in [
        "CREATE DATABASE aux",
        "CREATE TABLE aux.t (id INT PRIMARY KEY)",
        "INSERT INTO aux.t VALUES (5)",
        "CREATE TABLE aux.con (id INT) ENGINE=MyISAM",
        "CREATE DATABASE `ü-x`",
        "CREATE TABLE `ü-x`.`É $` (id INT) ENGINE=MyISAM",
        "CREATE TABLE `ü-x`.`p` (id INT PRIMARY KEY) PARTITION BY HASH (id) PARTITIONS 3",
        "CREATE TABLE aux.archive (id INT) ENGINE=ARCHIVE",
        "CREATE TABLE aux.csv (id INT NOT NULL) ENGINE=CSV",
        "CREATE TABLE aux.merged (id INT) ENGINE=MERGE UNION=(aux.con)",
        "CREATE TABLE aux.other (id INT, x INT) ENGINE=MyISAM",
        // Its own server can't read it: this is not a file that the backup lacks.
        "CREATE TABLE aux.broken (id INT) ENGINE=MERGE UNION=(aux.other)",
        "CREATE TABLE aux.discarded (id INT PRIMARY KEY)",
        "ALTER TABLE aux.discarded DISCARD TABLESPACE",
    ] {
        server.run(sql);
    }
    let full = lsnap::backup(&server, &repository, &["--compress"]);
    let mysqld = server.program("mysqld");

    let target = room.path().join("target");
    let said = restore_with(&mysqld, &repository, &full.name, &target, &[]).ok();
    assert!(said.stdout.contains("MY-013589"), "{}", said.stdout);
    assert_eq!(said.json["gtid_verified"], true);
    assert_eq!(said.json["tables_complete"], true);
    let restored = Sandbox::start_on("e2e-ends-restored", &target, &[RESTORED]);
    assert_eq!(restored.value("SELECT id FROM aux.t"), "5");
    drop(restored);

    // Another error of InnoDB fails a restore, unless the user accepts it.
    let noisy = room.path().join("noisy");
    let body = format!(
        "for a in \"$@\"; do case \"$a\" in --log-error=*) echo '2026-01-01 0 [ERROR] [MY-019999] [InnoDB] Odd.' \
         >>\"${{a#--log-error=}}\";; esac; done\nexec '{}' \"$@\"",
        mysqld.display()
    );
    script(&noisy, &body);
    let other = room.path().join("other");
    restore_with(&noisy, &repository, &full.name, &other, &[])
        .refused(1, &["MY-019999", "add MY-019999 to --accept-error"]);
    let accept = ["--accept-error", "MY-019999"];
    let said = restore_with(&noisy, &repository, &full.name, &other, &accept).ok();
    assert!(said.stdout.contains("MY-019999"), "{}", said.stdout);
    restore_with(
        &noisy,
        &repository,
        &full.name,
        &other,
        &["--accept-error", "19999"],
    )
    .refused(2, &["MY-013589"]);

    let file = room.path().join("file");
    std::fs::write(&file, "x").unwrap();
    restore_with(&mysqld, &repository, &full.name, &file, &[]).refused(11, &["it is a file"]);
    for (datadir, words) in [
        (file.join("x"), ["is a file", "expected a directory"]),
        (
            repository.join("x"),
            ["which the restore reads", "another directory"],
        ),
        (
            repository.clone(),
            ["which the restore reads", "another directory"],
        ),
    ] {
        restore_with(&mysqld, &repository, &full.name, &datadir, &[]).refused(11, &words);
    }
    for option in ["--datadir=/x", "--loose_log_bin=/x", "--socket=/x"] {
        let option = format!("--mysqld-arg={option}");
        restore_with(&mysqld, &repository, &full.name, &other, &[&option])
            .refused(2, &["of the recovering server; remove the option"]);
    }

    interrupted(room.path(), &repository, &full.name, &mysqld);
    verification_that_is_interrupted(&repository, &full.name);
    verification_that_is_killed(room.path(), &repository, &full.name, &mysqld);
    stream_that_is_being_restored(&server, room.path(), &repository, &mysqld);
}

/// Writes a program that prints mysqld's output and then recovers forever; it does not end at
/// SIGTERM, and the work is done by a child.
fn endless(room: &Path, mysqld: &Path) -> PathBuf {
    let program = room.join("endless");
    let body = format!(
        "case \"$*\" in *--version*) exec '{}' --no-defaults --version;; esac\ntrap '' TERM INT\n\
         echo $$ >'{}'\nsleep 600\nsleep 600",
        mysqld.display(),
        room.join("pid").display()
    );
    script(&program, &body);
    program
}

fn interrupted(room: &Path, repository: &Path, name: &str, mysqld: &Path) {
    let program = endless(room, mysqld);
    let target = room.join("interrupted");
    let temporary = room.join("temporary");
    std::fs::create_dir(&temporary).unwrap();
    let url = lsnap::url(repository);
    let restore = |command: &mut Command| {
        command
            .args(["restore", "--redo-applier=mysqld", "--datadir"])
            .arg(&target);
    };
    let verify = |command: &mut Command| {
        command.args(["verify", "--restore"]);
    };
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        for job in [&restore as &dyn Fn(&mut Command), &verify] {
            let mut command = lsnap::command();
            job(&mut command);
            command
                .args(["--from", &url, name, "--user", &lsnap::owner(), "--mysqld"])
                .arg(&program)
                .env("TMPDIR", &temporary)
                .stdout(Stdio::piped())
                .stderr(Stdio::piped());
            end_by(command.spawn().unwrap(), signal, &room.join("pid"));
            assert!(!target.exists());
            let work = room.join("interrupted.lsnap-restoring");
            assert!(!work.exists(), "{signal:?} left {}", work.display());
            let left: Vec<_> = std::fs::read_dir(&temporary).unwrap().collect();
            assert!(left.is_empty(), "{signal:?} left {left:?}");
        }
    }
}

/// A verification that reads, and doesn't start a server.
fn verification_that_is_interrupted(repository: &Path, name: &str) {
    let readers = repository.join(".lsnap/readers");
    let announced = || {
        let entries = std::fs::read_dir(&readers).into_iter().flatten().flatten();
        entries
            .filter(|entry| entry.path().extension() == Some("reader".as_ref()))
            .count()
    };
    assert_eq!(announced(), 0);
    for signal in [Signal::INT, Signal::TERM] {
        let mut command = lsnap::command();
        command
            .args(["verify", "--data", "--max-rate", "20K", "--from"])
            .args([&lsnap::url(repository), name])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let child = command.spawn().unwrap();
        wait_for("the verification", Duration::from_secs(60), || {
            announced() > 0
        });
        let begun = Instant::now();
        kill_process(Pid::from_raw(child.id() as i32).unwrap(), signal).unwrap();
        let said = lsnap::said(child.wait_with_output().unwrap());
        said.refused(130, &["verification was stopped"]);
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "{:?}",
            begun.elapsed()
        );
        assert_eq!(announced(), 0, "the record of a reader was not removed");
    }
}

fn pid_in(file: &Path) -> String {
    wait_for("the redo applier", Duration::from_secs(60), || {
        std::fs::read_to_string(file).is_ok_and(|text| text.ends_with('\n'))
    });
    let pid = std::fs::read_to_string(file).unwrap().trim().to_owned();
    std::fs::remove_file(file).unwrap();
    pid
}

/// Returns whether lsnap has started the guard, the shell that ends the server with it.
fn has_guard(lsnap: u32) -> bool {
    let parent = format!("PPid:\t{lsnap}\n");
    std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .any(|process| {
            let text =
                |name| std::fs::read_to_string(process.path().join(name)).unwrap_or_default();
            text("cmdline").contains("kill -s KILL") && text("status").contains(&parent)
        })
}

/// SIGKILL: the server ends with the verification, and the next verification removes its
/// directories.
fn verification_that_is_killed(room: &Path, repository: &Path, name: &str, mysqld: &Path) {
    let scratch = room.join("killed");
    std::fs::create_dir(&scratch).unwrap();
    let verify = |mysqld: &Path| {
        let mut command = lsnap::command();
        command
            .args([
                "verify",
                "--restore",
                "--from",
                &lsnap::url(repository),
                name,
            ])
            .args(["--user", &lsnap::owner(), "--mysqld"])
            .arg(mysqld)
            .env("TMPDIR", &scratch)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    };
    let mut child = verify(&endless(room, mysqld)).spawn().unwrap();
    let group = pid_in(&room.join("pid"));
    // If it is killed between the two starts, it leaves the server to the next verification.
    wait_for("the guard of the server", Duration::from_secs(10), || {
        has_guard(child.id())
    });
    child.kill().unwrap();
    child.wait().unwrap();
    wait_for("the end of the server", Duration::from_secs(10), || {
        !alive(&group)
    });
    let left = || std::fs::read_dir(&scratch).unwrap().count();
    assert_eq!(
        left(),
        2,
        "the directories of the restore and of its socket"
    );
    // Some tables of this server are not intact.
    lsnap::said(verify(mysqld).output().unwrap())
        .refused(13, &["which a killed lsnap left behind", "tables checked"]);
    assert_eq!(left(), 0);
}

/// A stream that was put under another name than its own is announced under that name.
fn stream_that_is_being_restored(server: &Sandbox, room: &Path, repository: &Path, mysqld: &Path) {
    let url = lsnap::url(repository);
    let mut put = lsnap::command();
    put.args(["cloud", "put", "--to", &url, "streamed"]);
    lsnap::stream(server, &[], put);
    let mut command = lsnap::command();
    command
        .args([
            "restore",
            "--redo-applier=mysqld",
            "--from",
            &url,
            "streamed",
        ])
        .args(["--user", &lsnap::owner(), "--datadir"])
        .arg(room.join("from-stream"))
        .arg("--mysqld")
        .arg(endless(room, mysqld))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    wait_for("the redo applier", Duration::from_secs(60), || {
        room.join("pid").exists()
    });
    lsnap::lsnap(["delete", "--from", &url, "streamed"]).refused(11, &["restore", "streamed"]);
    end_by(child, Signal::TERM, &room.join("pid"));
    lsnap::lsnap(["delete", "--from", &url, "streamed"]).ok();
}

/// Returns whether any process of a process group runs (zombies don't count).
fn alive(group: &str) -> bool {
    std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .any(|process| {
            let stat = std::fs::read_to_string(process.path().join("stat")).unwrap_or_default();
            // proc(5): the fields after the name are state, parent and process group
            let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
            let fields: Vec<&str> = fields.split_whitespace().collect();
            fields.get(2) == Some(&group) && fields[0] != "Z"
        })
}

/// Sends the signal when the program runs; it must end within seconds, with all its children.
fn end_by(child: Child, signal: Signal, pid: &Path) {
    let group = pid_in(pid);
    let begun = Instant::now();
    kill_process(Pid::from_raw(child.id() as i32).unwrap(), signal).unwrap();
    let said = lsnap::said(child.wait_with_output().unwrap());
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "{:?}",
        begun.elapsed()
    );
    said.refused(130, &["stopp"]);
    assert!(!alive(&group), "process group {group} still exists");
}

/// Moves the LSN of an idle server without a binary log until it has the wanted offset in its
/// block, and backs the server up there.
#[test]
fn redo_that_ends_at_the_edges_of_a_block() {
    let room = scratch();
    let repository = room.path().join("repository");
    std::fs::create_dir(&repository).unwrap();
    let options = [
        "--disable-log-bin",
        "--gtid-mode=OFF",
        "--innodb-flush-log-at-trx-commit=2",
    ];
    let server = Sandbox::start("e2e-blocks", &[&options]);
    let mut conn = server.connect();
    run(&mut conn, "CREATE DATABASE d");
    run(
        &mut conn,
        "CREATE TABLE d.t (id INT PRIMARY KEY AUTO_INCREMENT, v VARBINARY(900)) STATS_PERSISTENT=0",
    );
    // The first payload byte of a block, the byte after it, and the last.
    for wanted in [12, 13, 507] {
        let (name, rows) = backed_up_at(&server, &mut conn, &repository, wanted);
        let target = room.path().join(format!("target-{wanted}"));
        let mysqld = server.program("mysqld");
        restore_with(&mysqld, &repository, &name, &target, &[]).ok();
        let restored = Sandbox::start_on("e2e-blocks-restored", &target, &[&options]);
        assert_eq!(restored.value(SUM), rows, "at {wanted}");
    }
}

/// Makes a backup whose redo ends at this offset in its block; returns its name, and the content of
/// the table at that time.
fn backed_up_at(
    server: &Sandbox,
    conn: &mut Conn,
    repository: &Path,
    wanted: u64,
) -> (String, String) {
    for _ in 0..12 {
        move_to(conn, wanted);
        let said = lsnap::try_backup(server, repository, &[]).ok();
        // The server may have written a checkpoint meanwhile.
        if said.json["backup"]["lsn"]["last_lsn"].as_u64().unwrap() % 512 == wanted {
            let name = said.json["backup"]["name"].as_str().unwrap().to_owned();
            return (name, value(conn, SUM));
        }
    }
    panic!("no backup ended at {wanted}");
}

/// Moves the LSN with inserts only, because nothing purges them later.
fn move_to(conn: &mut Conn, wanted: u64) {
    const LEAST: u64 = 130;
    // The LSN at rest: with a checkpoint the server writes a little more.
    let lsn = |conn: &mut Conn| -> u64 {
        let sql = "SELECT JSON_EXTRACT(STORAGE_ENGINES, '$.InnoDB.LSN') FROM performance_schema.log_status";
        let mut last = 0;
        loop {
            let now = value(conn, sql).parse().unwrap();
            if now == last {
                return now;
            }
            last = now;
            std::thread::sleep(Duration::from_millis(250));
        }
    };
    // The number of bytes of redo without the headers and trailers of blocks.
    let payload = |lsn: u64| lsn / 512 * 496 + lsn % 512 - 12;
    let begun = Instant::now();
    let mut beside = 0;
    let mut now = lsn(conn);
    while now % 512 != wanted {
        let short = (payload(now) + beside + LEAST) % 496;
        let length = LEAST + (wanted - 12 + 496 - short) % 496;
        run(
            conn,
            &format!("INSERT INTO d.t (v) VALUES (REPEAT('x', {length}))"),
        );
        let after = lsn(conn);
        beside = (payload(after) - payload(now)).saturating_sub(length);
        now = after;
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "the LSN never reached {wanted}"
        );
    }
}

/// Distinguishes two states of the table.
const SUM: &str = "SELECT CONCAT(COUNT(*), ' ', SUM(LENGTH(v))) FROM d.t";

/// A volume that is mounted at the path of the data directory, given to an account without a name;
/// a directory that the account can't reach; the account `mysql`, which a verification uses if no
/// other is named.
#[test]
fn a_mount_point_is_given_to_a_number() {
    let room = scratch();
    let target = room.path().join("volume");
    let repository = room.path().join("repository");
    for path in [&target, &repository] {
        std::fs::create_dir(path).unwrap();
    }
    if !rustix::process::getuid().is_root() {
        eprintln!("not run: giving files away needs root");
        return;
    }
    let world = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(room.path(), world).unwrap();
    let server = Sandbox::start("e2e-volume", &[SOURCE]);
    server.run("CREATE DATABASE d");
    let full = lsnap::full(&server, &repository);
    let mysqld = server.program("mysqld");
    let lsnap = env!("CARGO_BIN_EXE_lsnap");
    // In a separate mount namespace, the volume can't outlive the test.
    let steps = format!(
        "set -e\nmount -t tmpfs -o mode=1777 tmpfs '{0}'\nmkdir '{0}/lost+found'\n\
         '{lsnap}' restore --from '{1}' '{2}' --datadir '{0}' --user 4242:4343 --redo-applier mysqld --mysqld '{3}' >&2\n\
         stat -c '%u:%g %n' '{0}' '{0}/mysql.ibd' '{0}/d' '{0}/lost+found'\n\
         stat -c 'mode %a' '{0}'\nls -a '{0}'\n\
         mkdir -m 0700 '{4}/closed'\n\
         '{lsnap}' restore --from '{1}' '{2}' --datadir '{4}/closed/data' --user 4242:4343 --redo-applier mysqld \
         --mysqld '{3}' 2>&1 || echo \"code $?\"\n\
         {{ grep -v '^mysql:' /etc/passwd; echo mysql:x:4545:4545::/nonexistent:/bin/false; }} >'{4}/passwd'\n\
         chmod 0644 '{4}/passwd'\nmount --bind '{4}/passwd' /etc/passwd\nmkdir -m 1777 '{4}/tmp'\n\
         TMPDIR='{4}/tmp' '{lsnap}' verify --verbose --restore --from '{1}' '{2}' --mysqld '{3}'",
        target.display(),
        lsnap::url(&repository),
        full.name,
        mysqld.display(),
        room.path().display()
    );
    let out = Command::new("unshare")
        .args(["-m", "sh", "-c", &steps])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = lsnap::said(out).ok();
    let owned = |path: &str| {
        said.stdout
            .contains(&format!("4242:4343 {}{path}\n", target.display()))
    };
    assert!(
        owned("") && owned("/mysql.ibd") && owned("/d"),
        "{}",
        said.stdout
    );
    assert!(!said.stdout.contains("lsnap-restoring"), "{}", said.stdout);
    for words in [
        "mode 750\n",
        "4242:4343 can't enter",
        "closed (mode 0700)",
        "code 11\n",
        "tables checked",
    ] {
        assert!(
            said.stdout.contains(words),
            "{words}: {}{}",
            said.stdout,
            said.stderr
        );
    }
    assert_eq!(
        std::fs::metadata(&target).unwrap().uid(),
        0,
        "the mount namespace leaked"
    );
}
