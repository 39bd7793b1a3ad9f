//! Backups that were forged to harm the user who restores them: nothing outside of the target
//! changes, and missing files are detected. All tests use the real server, with a directory next to
//! the target whose files must not change.

use crate::lsnap;
use crate::lsnap::Said;
use crate::sandbox::{RESTORED, SOURCE, Sandbox, scratch};
use ::lsnap::manifest::{
    FileRole, MANIFEST, Manifest, StoredPath, manifest_chunks, parse_manifest,
};
use ::lsnap::xbstream;
use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A backup whose documents and files are changed as an attacker would, with valid values for
/// everything that needs no secret (lengths, CRCs and digests).
struct Forged {
    directory: PathBuf,
    manifest: Manifest,
    /// The original objects.
    originals: BTreeMap<PathBuf, Option<Vec<u8>>>,
}

impl Forged {
    fn open(repository: &Path, name: &str) -> Self {
        let directory = repository.join(name);
        let object = std::fs::read(object(&directory, MANIFEST)).unwrap();
        let head = xbstream::payload_head(MANIFEST, 0, 0, 0).unwrap().len();
        let end = xbstream::end_chunk(MANIFEST).unwrap().len();
        let manifest = parse_manifest(&object[head..object.len() - end]).unwrap();
        Self {
            directory,
            manifest,
            originals: BTreeMap::new(),
        }
    }

    fn write(&mut self, path: &str, bytes: &[u8]) {
        let at = object(&self.directory, path);
        let old = std::fs::read(&at).ok();
        self.originals.entry(at.clone()).or_insert(old);
        std::fs::write(at, bytes).unwrap();
    }

    /// Stores `content` as the file `path`.
    fn put(&mut self, path: &str, role: FileRole, content: &str) {
        let crc = xbstream::crc(content.as_bytes());
        let head = xbstream::payload_head(path, 0, content.len() as u64, crc).unwrap();
        let end = xbstream::end_chunk(path).unwrap();
        let bytes = [&head[..], content.as_bytes(), &end[..]].concat();
        self.write(path, &bytes);
        let mut entry = self.manifest.files[0].clone();
        entry.path = StoredPath::new(path);
        entry.role = role;
        entry.bytes = content.len() as u64;
        entry.wrapping = None;
        entry.objects.truncate(1);
        entry.objects[0].offset = 0;
        entry.objects[0].pack = None;
        entry.objects[0].bytes = bytes.len() as u64;
        entry.objects[0].digest = Some(::lsnap::manifest::Digest::of(&bytes));
        self.manifest.files.retain(|file| file.plain_path() != path);
        self.manifest.files.push(entry);
    }

    fn drop_file(&mut self, path: &str) {
        let before = self.manifest.files.len();
        self.manifest.files.retain(|file| file.plain_path() != path);
        assert_eq!(
            self.manifest.files.len() + 1,
            before,
            "{path} is not in the backup"
        );
        // A manifest with the number of the server's tablespaces would be refused earlier.
        self.manifest.dictionary = None;
    }

    fn finish(mut self) -> Restorable {
        let parts = manifest_chunks(&self.manifest).unwrap();
        self.write(MANIFEST, &parts.concat());
        Restorable(self.originals)
    }
}

/// Restores the original objects when dropped.
struct Restorable(BTreeMap<PathBuf, Option<Vec<u8>>>);

impl Drop for Restorable {
    fn drop(&mut self) {
        for (path, old) in &self.0 {
            match old {
                Some(bytes) => std::fs::write(path, bytes).unwrap(),
                None => std::fs::remove_file(path).unwrap(),
            }
        }
    }
}

fn object(directory: &Path, path: &str) -> PathBuf {
    directory.join(format!("{path}.{:020}", 0))
}

/// Returns every file below a directory: content, modification time and identity.
fn state_of(directory: &Path) -> BTreeMap<PathBuf, (Vec<u8>, i64, u64)> {
    let mut found = BTreeMap::new();
    let mut todo = vec![directory.to_path_buf()];
    while let Some(next) = todo.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                found.insert(path.clone(), (Vec::new(), 0, 0));
                todo.push(path);
            } else {
                let meta = std::fs::metadata(&path).unwrap();
                let content = std::fs::read(&path).unwrap();
                found.insert(
                    path,
                    (content, meta.mtime_nsec() ^ meta.mtime(), meta.ino()),
                );
            }
        }
    }
    found
}

struct Attack {
    room: tempfile::TempDir,
    repository: PathBuf,
    name: String,
    victim: PathBuf,
    mysqld: PathBuf,
}

impl Attack {
    /// Runs a restore; whatever its result, the victim's files must not change.
    fn restore(&self, what: &str, more: &[&str]) -> (Said, PathBuf) {
        let before = state_of(&self.victim);
        let target = self.room.path().join(what);
        let mut arguments = vec!["--redo-applier", "mysqld", "--mysqld"];
        arguments.push(self.mysqld.to_str().unwrap());
        arguments.extend(more);
        let said = lsnap::try_restore(&self.repository, &self.name, &target, &arguments);
        let after = state_of(&self.victim);
        let names = |state: &BTreeMap<PathBuf, _>| state.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&before), names(&after), "{what}: {}", said.stderr);
        assert!(before == after, "{what} changed files of the victim");
        (said, target)
    }

    fn refused(&self, what: &str, code: i32, words: &[&str]) {
        let (said, target) = self.restore(what, &[]);
        said.refused(code, words);
        assert!(!target.exists(), "{what} left a target");
    }

    fn forge(&self) -> Forged {
        Forged::open(&self.repository, &self.name)
    }
}

#[test]
fn nothing_outside_of_the_target_changes() {
    let room = scratch();
    let path = |name: &str| {
        let path = room.path().join(name);
        std::fs::create_dir(&path).unwrap();
        path
    };
    let (repository, victim) = (path("repository"), path("victim"));
    let directories = format!("--innodb-directories={}", victim.display());
    let mut server = Sandbox::start("e2e-hostile", &[SOURCE, &[&directories]]);
    for sql in [
        "CREATE DATABASE d",
        "CREATE TABLE d.t (id INT PRIMARY KEY)",
        "INSERT INTO d.t VALUES (1), (2)",
        "CREATE TABLE d.m (id INT) ENGINE=MyISAM",
        "CREATE TABLE d.gone (id INT PRIMARY KEY)",
        "ALTER TABLE d.gone DISCARD TABLESPACE",
        &format!(
            "CREATE TABLE d.away (id INT PRIMARY KEY) DATA DIRECTORY='{}'",
            victim.display()
        ),
        "INSERT INTO d.away VALUES (7)",
    ] {
        server.run(sql);
    }
    // So that the redo log of the backup has no records of these tables.
    server.stop();
    server.restart(&[SOURCE, &[&directories]]);
    let name = lsnap::full(&server, &repository).name;
    let mysqld = server.program("mysqld");
    // The victim's content is now on the disk.
    server.stop();
    for name in ["precious", "binlog.000001", "relay.000001", "keys.backup"] {
        std::fs::write(victim.join(name), name).unwrap();
        let old = Command::new("touch")
            .args(["-d", "2001-01-01"])
            .arg(victim.join(name))
            .status();
        assert!(old.unwrap().success());
    }
    let attack = Attack {
        room,
        repository,
        name,
        victim,
        mysqld,
    };
    an_index_that_names_other_files(&attack);
    names_that_climb(&attack);
    configuration_that_names_other_files(&attack);
    tables_that_the_backup_lacks(&attack);
    children_see_no_secrets(&attack);
}

fn an_index_that_names_other_files(attack: &Attack) {
    let victim = attack.victim.display();
    let mut forged = attack.forge();
    let log = forged.manifest.binlog.clone().unwrap().file;
    let list =
        format!("{victim}/precious\n{victim}/binlog.000001\n../victim/relay.000001\n./{log}\n");
    forged.put("binlog.index", FileRole::BinaryLog, &list);
    let _restored = forged.finish();
    let (said, target) = attack.restore("index", &[]);
    let said = said.ok();
    assert_eq!(said.json["gtid_verified"], true, "{}", said.stdout);
    assert!(!target.join("binlog.index").exists());
    assert!(!target.join(&log).exists());
}

fn names_that_climb(attack: &Attack) {
    let victim = attack.victim.display().to_string();
    for log in [
        "../../victim/binlog.000001",
        "/victim/binlog.000001",
        "..",
        "bin\nlog.000001",
        "precious",
        "",
    ] {
        let mut forged = attack.forge();
        forged.manifest.binlog.as_mut().unwrap().file = log.replace("/victim", &victim);
        let _restored = forged.finish();
        attack.refused("climbing log", 13, &["binary log"]);
    }
    for (path, role) in [
        ("other.index2", FileRole::BinaryLog),
        ("d/x.index", FileRole::BinaryLog),
    ] {
        let mut forged = attack.forge();
        forged.put(path, role, "x");
        let _restored = forged.finish();
        attack.refused("foreign log", 13, &["binary log"]);
    }
    for files in [
        "..:12M:autoextend",
        "ibdata1:12M:autoextend\n--log-error=x",
        "ibdata1:12M:autoextend;/dev/sda:1Graw",
    ] {
        let mut forged = attack.forge();
        forged.manifest.server.data_file_path = files.to_owned();
        let _restored = forged.finish();
        attack.refused("climbing system file", 13, &["innodb_data_file_path"]);
    }
}

/// Files that affect the next start of a server. The servers of the sandbox read `mysqld.my`, and
/// servers of Debian and other vendors can be configured to do so.
fn acted_on(attack: &Attack) -> Vec<(&'static str, String)> {
    let victim = attack.victim.display();
    let auto = format!(
        "{{\"Version\": 2, \"mysql_static_variables\": {{\"log_error\": {{\"Value\": \"{victim}/error\", \
         \"Metadata\": {{\"Timestamp\": 1, \"User\": \"root\", \"Host\": \"localhost\"}}}}, \"relay_log\": {{\"Value\": \
         \"{victim}/relay\", \"Metadata\": {{\"Timestamp\": 1, \"User\": \"root\", \"Host\": \"localhost\"}}}}}}}}"
    );
    let keys = format!("{{\"path\": \"{victim}/keys\", \"read_only\": false}}");
    vec![
        (
            "mysqld.my",
            "{ \"components\": \"file://component_keyring_file\", \"more\": 1 }".to_owned(),
        ),
        ("component_keyring_file.cnf", keys),
        ("mysqld-auto.cnf", auto),
        ("ca.pem", "x".to_owned()),
        ("my.cnf", format!("[mysqld]\nlog-error={victim}/error\n")),
        (".mylogin.cnf", "x".to_owned()),
        ("relay-bin.index", format!("{victim}/relay.000001\n")),
        ("d/t.isl", format!("{victim}/d/away.ibd")),
        ("d/x.rocksdb", "x".to_owned()),
        ("#ib_16384_0.dblwr", "x".repeat(16384)),
        ("tablespaces.open.1", format!("{victim}/d/away.ibd")),
        ("ib_logfile0", "x".repeat(2048)),
        ("ibtmp1", "x".to_owned()),
        (
            "strange",
            format!("1,2\n[mysqld]\nlog-error={victim}/error\n"),
        ),
        ("warm", "1,2\n3,4\n".to_owned()),
    ]
}

/// The number of these files that [`lsnap restore --accept-config`] places.
const CONFIGURATION: usize = 4;

fn configuration_that_names_other_files(attack: &Attack) {
    let plain = acted_on(attack);
    let mut forged = attack.forge();
    for (path, content) in &plain {
        forged.put(path, FileRole::Plain, content);
    }
    let _restored = forged.finish();
    let extracted = attack.room.path().join("extracted");
    std::fs::create_dir(&extracted).unwrap();
    lsnap::lsnap(
        [
            "cloud",
            "get",
            "--from",
            &lsnap::url(&attack.repository),
            &attack.name,
            "-C",
        ]
        .map(std::ffi::OsStr::new)
        .into_iter()
        .chain([extracted.as_os_str()]),
    )
    .ok();
    let (said, target) = attack.restore("configuration", &[]);
    not_placed(&said.ok(), &target, &plain);
    let before = state_of(&attack.victim);
    // The server that is started on it doesn't change the victim's files either.
    let options = ["--relay-log-purge=ON", "--binlog-expire-logs-seconds=1"];
    drop(Sandbox::start_on(
        "e2e-hostile-started",
        &target,
        &[RESTORED, &options],
    ));
    assert!(
        before == state_of(&attack.victim),
        "the started server changed files"
    );

    let (said, target) = attack.restore("accepted", &["--accept-config"]);
    let said = said.ok();
    for (number, (path, content)) in plain.iter().enumerate() {
        let placed = std::fs::read_to_string(target.join(path)).ok();
        let expected = (number < CONFIGURATION || *path == "warm").then_some(content);
        assert_eq!(placed.as_ref(), expected, "{path}: {}", said.stdout);
    }

    // As another program extracted it, and without a manifest.
    for manifest in [true, false] {
        if !manifest {
            std::fs::remove_file(extracted.join(MANIFEST)).unwrap();
        }
        let target = attack
            .room
            .path()
            .join(format!("from-directory-{manifest}"));
        let mut command = lsnap::command();
        command.args([
            "restore",
            "--json",
            "--redo-applier=mysqld",
            "--user",
            &lsnap::owner(),
        ]);
        command.arg("--from").arg(&extracted);
        command.arg("--datadir").arg(&target);
        command.arg("--mysqld").arg(&attack.mysqld);
        let said = lsnap::said(command.output().unwrap()).ok();
        not_placed(&said, &target, &plain);
    }

    // A data file has none of these names either.
    for name in ["my.cnf", "mysqld-auto.cnf", "d/t.isl"] {
        let mut forged = attack.forge();
        let files = forged.manifest.files.iter_mut();
        let mut spaces = files.filter_map(|file| match &mut file.role {
            FileRole::Tablespace(space) if space.name == "d/t.ibd" => Some(space),
            _ => None,
        });
        spaces.next().unwrap().name = name.to_owned();
        let _restored = forged.finish();
        attack.refused("tablespace", 13, &["not the name of a tablespace"]);
    }
}

/// Checks that none of the files that affect a server was placed, and that each was reported.
#[track_caller]
fn not_placed(said: &Said, target: &Path, plain: &[(&'static str, String)]) {
    let told = said.json["not_placed"].as_array().unwrap();
    let warnings = said.json["warnings"].to_string();
    for (path, content) in plain {
        let placed = std::fs::read_to_string(target.join(path)).ok();
        match *path {
            "mysqld.my" => assert_eq!(
                placed.unwrap(),
                "{\"components\":\"file://component_keyring_file\"}"
            ),
            "warm" => assert_eq!(placed.as_ref(), Some(content)),
            _ => {
                assert_eq!(placed, None, "{path}");
                assert!(
                    told.iter().any(|name| name == path) && warnings.contains(path),
                    "{path} is not mentioned: {}",
                    said.stdout
                );
            }
        }
    }
    assert!(warnings.contains("--accept-config"), "{warnings}");
}

/// A table without its file must not be taken from the path where the dictionary has the file of
/// the source.
fn tables_that_the_backup_lacks(attack: &Attack) {
    let mut forged = attack.forge();
    for file in ["d/away.ibd", "d/t.ibd", "d/m.MYD"] {
        forged.drop_file(file);
    }
    let _restored = forged.finish();
    let words = ["3 tables", "d/away", "d/t ", "d.m (MyISAM"];
    attack.refused("lacking", 13, &words);
    let verified = lsnap::command()
        .args(["verify", "--restore", "--json", "--from"])
        .args([&lsnap::url(&attack.repository), &attack.name])
        .args(["--user", &lsnap::owner(), "--mysqld"])
        .arg(&attack.mysqld)
        .output();
    lsnap::said(verified.unwrap()).refused(13, &words);
}

fn children_see_no_secrets(attack: &Attack) {
    let seen = attack.room.path().join("seen");
    let program = attack.room.path().join("mysqld");
    let script = format!(
        "#!/bin/sh\nenv >>'{0}'\necho \"$@\" >>'{0}'\nexec '{1}' \"$@\"\n",
        seen.display(),
        attack.mysqld.display()
    );
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let restored = lsnap::command()
        .args([
            "restore",
            "--from",
            &lsnap::url(&attack.repository),
            &attack.name,
        ])
        .arg("--datadir")
        .arg(attack.room.path().join("secrets"))
        .args([
            "--user",
            &lsnap::owner(),
            "--redo-applier=mysqld",
            "--mysqld",
        ])
        .arg(&program)
        .env("AWS_SECRET_ACCESS_KEY", "hunter2-aws")
        .env("MYSQL_PWD", "hunter2-mysql")
        .env("LC_ALL", "C.UTF-8")
        .output();
    lsnap::said(restored.unwrap()).ok();
    let seen = std::fs::read_to_string(seen).unwrap();
    assert!(
        !seen.contains("hunter2") && !seen.contains("MYSQL_PWD"),
        "{seen}"
    );
    assert!(
        seen.contains("LC_ALL=C.UTF-8") && seen.contains("--log-bin="),
        "{seen}"
    );
}
