//! The environment of the faults: a running MySQL, two chains made from it, and copies of their
//! repository in directories and in an S3 server.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use bytes::Bytes;
use lsnap::store::{Bucket, Repository};

use crate::lsnap::{self as program, Said, said};
use crate::proxy::Proxy;
use crate::random::Random;
use crate::sandbox::{SOURCE, Sandbox, scratch};
use crate::servers::{Kind, Server};
use crate::table::Table;

/// The command to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    Full,
    Incremental,
    Consolidate,
    Restore,
    Verify,
    Delete,
    Prune,
}

impl Act {
    pub const ALL: [Self; 7] = [
        Self::Full,
        Self::Incremental,
        Self::Consolidate,
        Self::Restore,
        Self::Verify,
        Self::Delete,
        Self::Prune,
    ];
    /// The commands that change something.
    pub const KILLED: [Self; 6] = [
        Self::Full,
        Self::Delete,
        Self::Restore,
        Self::Incremental,
        Self::Prune,
        Self::Consolidate,
    ];

    /// Returns whether the command removes the older of the two chains.
    pub fn removes(self) -> bool {
        matches!(self, Self::Delete | Self::Prune)
    }
}

/// A copy of the repository.
#[derive(Debug)]
pub struct Place {
    /// The directory, for a repository in a directory.
    pub dir: Option<PathBuf>,
    /// The prefix in the bucket, for other repositories.
    prefix: String,
    /// The target of a restore.
    pub target: PathBuf,
}

impl Place {
    pub fn title(&self, act: Act) -> String {
        let store = self.dir.as_ref().map_or("s3", |_| "file");
        format!("{act:?} {store}").to_lowercase()
    }
}

/// The whole environment.
pub struct World {
    pub source: Sandbox,
    pub proxy: Proxy,
    pub random: Random,
    pub table: Table,
    /// Names of the members of the older chain: a full and two incrementals.
    pub older: Vec<String>,
    /// The content of the table in the newest member of the older chain.
    pub contents: String,
    objects: Vec<(String, Bytes)>,
    store: Server,
    places: u64,
    // Last, so that it is removed after the servers have stopped.
    pub room: tempfile::TempDir,
}

const CONTENTS: &str =
    "SELECT CONCAT(COUNT(*), ' ', SUM(CRC32(CONCAT(id, b)) + CRC32(c))) FROM d.t";

/// Returns a summary of the content of a server's table.
pub fn contents(server: &Sandbox) -> String {
    server.value(CONTENTS)
}

/// Returns every key under a directory; at the top with `""`, where a listing of everything is not
/// available.
fn keys_under(bucket: &Bucket, directory: &str) -> BTreeSet<String> {
    let children = bucket.children(directory).unwrap();
    let mut keys: BTreeSet<String> = children.objects.into_iter().collect();
    for directory in children.directories {
        keys.extend(keys_under(bucket, &directory));
    }
    keys
}

impl World {
    pub fn new(seed: u64) -> Self {
        let room = scratch();
        let store = Server::start_plain_s3();
        let proxy = Proxy::before(store.port());
        let source = Sandbox::start("faults", &[SOURCE]);
        source.run("CREATE DATABASE d");
        source.run("CREATE TABLE d.t (id INT PRIMARY KEY AUTO_INCREMENT, b BLOB, c INT)");
        source.run(
            "INSERT INTO d.t (b, c) WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r WHERE i < 900) \
             SELECT REPEAT(RANDOM_BYTES(1000), 4), i FROM r",
        );
        let mut world = Self {
            source,
            proxy,
            random: Random::new(seed),
            table: Table::default(),
            older: Vec::new(),
            contents: String::new(),
            objects: Vec::new(),
            store,
            places: 0,
            room,
        };
        world.chains();
        world
    }

    /// Makes the two chains, once; every place gets a copy.
    fn chains(&mut self) {
        let place = self.empty(Kind::File);
        for act in [Act::Full, Act::Incremental, Act::Incremental] {
            let name = self.backup(&place, act);
            self.older.push(name);
        }
        // the last change came after the last member
        self.contents = contents(&self.source);
        self.backup(&place, Act::Full);
        let dir = place.dir.unwrap();
        let bucket = Repository::open(&program::url(&dir)).unwrap().bucket();
        self.objects = keys_under(&bucket, "")
            .into_iter()
            .map(|key| {
                let bytes = std::fs::read(dir.join(&key)).unwrap();
                (key, bytes.into())
            })
            .collect();
        let bytes: usize = self.objects.iter().map(|(_, b)| b.len()).sum();
        println!(
            "{} objects, {bytes} bytes in each place",
            self.objects.len()
        );
    }

    fn backup(&self, place: &Place, act: Act) -> String {
        self.change();
        let name = said(self.command(act, place, true).output().unwrap()).member();
        name.name
    }

    /// Makes a change that the next incremental contains.
    pub fn change(&self) {
        self.source
            .run("UPDATE d.t SET c = c + 1 WHERE id % 10 = FLOOR(RAND() * 10)");
    }

    fn empty(&mut self, kind: Kind) -> Place {
        self.places += 1;
        let n = self.places;
        let dir = (kind == Kind::File).then(|| self.room.path().join(format!("place-{n}")));
        dir.iter().for_each(|d| std::fs::create_dir(d).unwrap());
        Place {
            dir,
            prefix: format!("place-{n}"),
            target: self.room.path().join(format!("target-{n}")),
        }
    }

    /// A new copy of the repository.
    pub fn place(&mut self, kind: Kind) -> Place {
        let place = self.empty(kind);
        self.fill(&place);
        place
    }

    /// Makes a copy in an existing directory.
    pub fn place_in(&mut self, dir: &Path) -> Place {
        let mut place = self.empty(Kind::File);
        place.dir = Some(dir.to_path_buf());
        self.fill(&place);
        place
    }

    fn fill(&self, place: &Place) {
        let Some(dir) = &place.dir else {
            let bucket = self.bucket(place);
            std::thread::scope(|scope| {
                for part in self.objects.chunks(self.objects.len().div_ceil(8)) {
                    let bucket = &bucket;
                    scope.spawn(move || {
                        for (key, bytes) in part {
                            bucket.put_new(key, vec![bytes.clone()]).unwrap();
                        }
                    });
                }
            });
            return;
        };
        for (key, bytes) in &self.objects {
            let path = dir.join(key);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
    }

    /// Removes the files of a place that take space.
    pub fn leave(&self, place: &Place) {
        let gone = |path: &Path| match std::fs::remove_dir_all(path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => panic!("{}: {e}", path.display()),
            _ => {}
        };
        gone(&place.target);
        match &place.dir {
            Some(dir) if dir.starts_with(self.room.path()) => gone(dir),
            Some(_) => {}
            None => {
                let bucket = self.bucket(place);
                for key in self.keys(place) {
                    bucket.delete(&key).unwrap();
                }
            }
        }
    }

    /// Opens the place directly, without the proxy.
    pub fn bucket(&self, place: &Place) -> Bucket {
        match &place.dir {
            Some(dir) => Repository::open(&program::url(dir)).unwrap().bucket(),
            None => {
                let mut options = self.store.options();
                options.ca_file = None;
                options.allow_http = true;
                Repository::open_with(&self.store.url(&place.prefix), &options)
                    .unwrap()
                    .bucket()
            }
        }
    }

    /// Returns every key of a place.
    pub fn keys(&self, place: &Place) -> BTreeSet<String> {
        keys_under(&self.bucket(place), "")
    }

    /// Returns an object of the older chain's full backup that the restore of every member needs.
    pub fn victim(&mut self) -> (String, Bytes) {
        let prefix = format!("{}/", self.older[0]);
        let data: Vec<_> = self
            .objects
            .iter()
            .filter(|(key, _)| key.starts_with(&prefix) && key.contains("/mysql.ibd"))
            .collect();
        (*self.random.of(&data)).clone()
    }

    /// Returns `verb` with the URL of the place; `direct`: without the proxy.
    pub fn verb(&self, verb: &str, place: &Place, direct: bool) -> Command {
        let mut command = program::command();
        let (url, to) = (
            match &place.dir {
                Some(dir) => program::url(dir),
                None => self.store.url(&place.prefix),
            },
            if verb == "backup" { "--to" } else { "--from" },
        );
        command.args([verb, "--json", to, &url]);
        if place.dir.is_none() {
            let port = if direct {
                self.store.port()
            } else {
                self.proxy.port
            };
            command
                .args(["--endpoint", &format!("http://127.0.0.1:{port}")])
                .args(["--allow-http", "--max-backoff", "300"])
                .env("AWS_EC2_METADATA_DISABLED", "true")
                .envs(self.store.env());
        }
        command
    }

    /// Returns the command line of a command; it is the same each time.
    pub fn command(&self, act: Act, place: &Place, direct: bool) -> Command {
        let verb = match act {
            Act::Full | Act::Incremental => "backup",
            Act::Consolidate => "consolidate",
            Act::Restore => "restore",
            Act::Verify => "verify",
            Act::Delete => "delete",
            Act::Prune => "prune",
        };
        let mut command = self.verb(verb, place, direct);
        let mysqld = self.source.program("mysqld");
        match act {
            Act::Full | Act::Incremental => {
                command.args(["--no-defaults", "--user", "root", "--compress"]);
                command.args(["--cluster", "shop", "--socket", &self.source.socket()]);
                command.args(["--lease-ttl", "2", "--spool-dir"]);
                command.arg(self.room.path());
                command.args((act == Act::Incremental).then_some("--incremental"));
            }
            Act::Consolidate => drop(command.arg(&self.older[2])),
            Act::Verify => drop(command.args([&self.older[2], "--data"])),
            Act::Delete => {
                command.args([&self.older[0], "--cascade", "--lease-ttl", "2"]);
            }
            Act::Prune => drop(command.args(["--keep-full", "1", "--lease-ttl", "2"])),
            Act::Restore => {
                command.args([&self.older[2], "--redo-applier", "mysqld", "--mysqld"]);
                command.arg(mysqld).arg("--datadir").arg(&place.target);
                command.args(["--user", &program::owner()]);
            }
        }
        command
    }

    /// Runs the command to its end.
    pub fn run(&self, act: Act, place: &Place, more: &[&str]) -> Said {
        said(self.command(act, place, false).args(more).output().unwrap())
    }
}
