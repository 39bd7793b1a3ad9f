//! A target with files: the refusal has the commands that help, and `--force-move-aside` moves the
//! files. Nothing is deleted, and a server that runs in the target is not touched.

use crate::lsnap;
use crate::sandbox::{RESTORED, SOURCE, Sandbox, scratch, wait_for};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

fn restore(room: &Path, mysqld: &Path, name: &str, target: &Path, more: &[&str]) -> lsnap::Said {
    let url = lsnap::url(&room.join("repository"));
    let mut command = lsnap::command();
    command
        .args(["restore", "--repo", &url, name, "--datadir"])
        .arg(target);
    command.args([
        "--owner",
        &lsnap::owner(),
        "--redo-applier",
        "mysqld",
        "--mysqld",
    ]);
    lsnap::said(command.arg(mysqld).args(more).output().unwrap())
}

/// Returns the directories with old content next to a target.
fn olds(target: &Path) -> Vec<PathBuf> {
    let prefix = format!("{}.old-", target.file_name().unwrap().to_str().unwrap());
    let entries = std::fs::read_dir(target.parent().unwrap()).unwrap();
    let mut found: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.file_name()
                .unwrap()
                .to_string_lossy()
                .starts_with(&prefix)
        })
        .collect();
    found.sort();
    found
}

#[test]
fn old_content_is_moved_and_never_deleted() {
    let room = scratch();
    let target = room.path().join("data");
    std::fs::create_dir(room.path().join("repository")).unwrap();
    let source = Sandbox::start("e2e-aside", &[SOURCE]);
    source.run("CREATE DATABASE d");
    source.run("CREATE TABLE d.t (id INT PRIMARY KEY)");
    source.run("INSERT INTO d.t VALUES (1)");
    let full = lsnap::full(&source, &room.path().join("repository")).name;
    let mysqld = source.program("mysqld");
    drop(source);
    restore(room.path(), &mysqld, &full, &target, &[]).ok();

    // A server runs in it, with newer data.
    let server = Sandbox::start_on("e2e-aside2", &target, &[RESTORED]);
    server.run("INSERT INTO d.t VALUES (2)");
    let pid = server.pid();
    let forced = &["--force-move-aside"][..];
    let said = restore(room.path(), &mysqld, &full, &target, forced);
    said.refused(
        11,
        &["a server runs in it", &format!("process {pid}"), "stop it"],
    );
    assert!(target.join("d/t.ibd").exists() && olds(&target).is_empty());

    // The printed commands, in their order.
    let said = restore(room.path(), &mysqld, &full, &target, &[]);
    said.refused(
        11,
        &[
            "it is not empty",
            &format!("  kill {pid}\n"),
            " --force-move-aside",
        ],
    );
    let (_, rest) = said.stderr.split_once("by hand:\n").unwrap();
    let (commands, _) = rest.split_once("Or, ").unwrap();
    let commands: Vec<&str> = commands.lines().map(str::trim).collect();
    assert_eq!(commands.len(), 3, "{commands:?}");
    let sh = |command: &str| {
        let out = Command::new("sh")
            .args(["-c", command])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        lsnap::said(out).ok()
    };
    sh(commands[0]);
    let process = PathBuf::from(format!("/proc/{pid}"));
    wait_for("the end of the server", Duration::from_secs(60), || {
        !process.exists()
            || std::fs::read_to_string(process.join("stat")).is_ok_and(|s| s.contains(") Z "))
    });
    sh(commands[1]);
    let printed = sh(commands[2]).stdout;
    assert!(printed.contains("restored to"), "{printed}");
    assert_eq!(olds(&target).len(), 1);
    drop(server);

    // A restore that fails leaves everything where it is.
    let broken = room.path().join("broken");
    let version = format!(
        "#!/bin/sh\ncase \"$*\" in *--version*) exec {} --version;; esac\nexit 1\n",
        mysqld.display()
    );
    std::fs::write(&broken, version).unwrap();
    std::fs::set_permissions(&broken, std::fs::Permissions::from_mode(0o755)).unwrap();
    let said = restore(room.path(), &broken, &full, &target, forced);
    assert_ne!(said.code, 0);
    assert!(target.join("d/t.ibd").exists() && olds(&target).len() == 1);

    let said = restore(room.path(), &mysqld, &full, &target, forced).ok();
    let places = olds(&target);
    assert_eq!(places.len(), 2);
    assert!(
        said.stdout.contains(places[1].to_str().unwrap()),
        "{}",
        said.stdout
    );
    assert!(places.iter().all(|place| place.join("d/t.ibd").exists()));
    // The data of the server that ran in it are there.
    let first = Sandbox::start_on("e2e-aside2", &places[0], &[RESTORED]);
    assert_eq!(first.value("SELECT COUNT(*) FROM d.t"), "2");
    drop(first);
    in_a_volume(room.path(), &mysqld, &full);
}

/// A mount point keeps its old content in a directory whose name begins with a dot; a server starts
/// next to it.
fn in_a_volume(room: &Path, mysqld: &Path, full: &str) {
    if !rustix::process::getuid().is_root() {
        eprintln!("not run: mounting needs root");
        return;
    }
    let volume = room.join("volume");
    std::fs::create_dir(&volume).unwrap();
    let restore = format!(
        "'{}' restore --repo '{}' '{full}' --datadir '{2}' --owner 0:0 --redo-applier mysqld --mysqld '{3}'",
        crate::common::program::PROGRAM,
        lsnap::url(&room.join("repository")),
        volume.display(),
        mysqld.display()
    );
    // In a separate mount namespace, the volume can't outlive the test.
    let steps = format!(
        "set -e\nmount -t tmpfs tmpfs '{0}'\n{restore} >'{1}/first'\n{restore} 2>&1 | cat >&2\n\
         {restore} --force-move-aside >'{1}/second'\ncat '{1}/second'\nls -A '{0}'\nls '{0}'/.lsnap-old-*\n\
         start=$(sed -n 's/^      \\(.*mysqld --no-defaults.*\\)/\\1/p' '{1}/second')\n\
         sh -c \"exec $start\" &\nserver=$!\n\
         for i in $(seq 300); do grep -q 'ready for connections' '{0}/mysqld.err' && break; sleep 0.1; done\n\
         kill $server; wait $server\ngrep -E 'ready for connections|ERROR' '{0}/mysqld.err'\n",
        volume.display(),
        room.display()
    );
    let _port = crate::next_steps::default_port();
    let out = Command::new("unshare")
        .args(["-m", "sh", "-c", &steps])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = lsnap::said(out).ok();
    for words in ["not empty", "mkdir ", "-exec mv -t"] {
        assert!(said.stderr.contains(words), "{words}: {}", said.stderr);
    }
    assert!(
        said.stdout.contains("/.lsnap-old-2") && said.stdout.contains("ready for connections"),
        "{}",
        said.stdout
    );
    assert!(!said.stdout.contains("[ERROR]"), "{}", said.stdout);
    assert_eq!(
        said.stdout.matches("mysql.ibd\n").count(),
        2,
        "{}",
        said.stdout
    );
}
