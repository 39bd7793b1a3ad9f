//! A source with all features, under write load, and the members of its chain.

use crate::load::{Load, Open};
use crate::lsnap::{self, Member};
use crate::sandbox::{RESTORED, SOURCE, Sandbox, scratch};
use crate::schema::{Target, Wanted};
use crate::{ddl, proof, schema};
use std::path::{Path, PathBuf};

pub struct Journey {
    // First, so that the load ends before its server does.
    load: Option<Load>,
    pub source: Sandbox,
    pub members: Vec<Member>,
    name: String,
    // Last, so that it is removed after the servers have stopped.
    room: tempfile::TempDir,
}

impl Journey {
    /// Starts a source of this page size with the whole schema and three threads of load.
    pub fn begin(name: &str, page_kib: u32, options: &[&str], encrypted: bool) -> Self {
        let room = scratch();
        let outside = room.path().join("outside of it");
        std::fs::create_dir(&outside).unwrap();
        let page = format!("--innodb-page-size={page_kib}k");
        let directories = format!("--innodb-directories={}", outside.display());
        let source = Sandbox::start(name, &[SOURCE, &[&page, &directories], options]);
        let targets = schema::create(
            &source,
            &Wanted {
                page_kib,
                outside: Some(&outside),
                encrypted,
                other_engines: true,
            },
        );
        ddl::prepare(&source);
        let load = Some(Load::start(&source, &targets, 3));
        Self {
            source,
            members: Vec::new(),
            load,
            name: name.to_owned(),
            room,
        }
    }

    /// Creates a journey with a source that the test has started.
    pub fn with(
        name: &str,
        source: Sandbox,
        targets: Vec<Target>,
        room: tempfile::TempDir,
    ) -> Self {
        let load = Some(Load::start(&source, &targets, 2));
        Self {
            source,
            members: Vec::new(),
            load,
            name: name.to_owned(),
            room,
        }
    }

    /// Starts a source with `count` small tables, in the schema `many`, in addition to the plain
    /// ones of [`schema`].
    pub fn of_small_tables(name: &str, count: usize) -> Self {
        let room = scratch();
        let source = Sandbox::start(name, &[SOURCE]);
        let wanted = Wanted {
            page_kib: 16,
            outside: None,
            encrypted: false,
            other_engines: false,
        };
        let targets = schema::create(&source, &wanted);
        schema::small_tables(&source, "many", count);
        Self::with(name, source, targets, room)
    }

    pub fn path(&self) -> &Path {
        self.room.path()
    }

    pub fn repository(&self) -> PathBuf {
        let path = self.room.path().join("repository");
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    /// Makes the next member while the load runs, with one open and one prepared transaction.
    pub fn member(&mut self) {
        let more: &[&str] = match self.members.len() {
            0 => &[],
            _ => &["--incremental"],
        };
        self.member_by(|source, repository| lsnap::backup(source, repository, more));
    }

    /// Same as `member`, made by `backup` from the source and the repository.
    pub fn member_by(&mut self, backup: impl FnOnce(&Sandbox, &Path) -> Member) {
        let repository = self.repository();
        let load = self.load.as_ref().unwrap();
        load.wait_for_progress();
        let number = self.members.len();
        let open = Open::begin(&self.source, &format!("{}-{number}", self.name));
        // A quick backup may contain no commit, if a large transaction runs at that time; it
        // contains changes.
        let (before, changes) = (binlog_end(&self.source), load.changes());
        let member = backup(&self.source, &repository);
        let position = (member.position.file.clone(), member.position.offset);
        assert!(
            position > before,
            "no write load during the backup: {before:?} then {position:?}"
        );
        assert!(
            load.changes() > changes,
            "the load made no changes during the backup"
        );
        open.settle(number.is_multiple_of(2));
        load.wait_for_progress();
        self.members.push(member);
    }

    /// Ends the load: the source doesn't change afterwards.
    pub fn rest(&mut self) {
        self.load.take().unwrap().stop();
    }

    /// Restores member `index` to a separate directory, starts a server on it and proves it right.
    pub fn prove(&self, index: usize, options: &[&str]) -> Restored {
        let mysqld = self.source.program("mysqld");
        self.prove_with(index, options, &mysqld, |_| ())
    }

    /// Same as `prove`, with another `mysqld` as the redo applier, and a change of the finished
    /// data directory before its server starts.
    pub fn prove_with(
        &self,
        index: usize,
        options: &[&str],
        mysqld: &Path,
        before_start: impl FnOnce(&Path),
    ) -> Restored {
        self.prove_by(index, options, |name, datadir| {
            lsnap::restore_by(mysqld, &self.repository(), name, datadir);
            before_start(datadir);
        })
    }

    /// Same as `prove`, restored by `restore` from the name of the member and the new data
    /// directory.
    pub fn prove_by(
        &self,
        index: usize,
        options: &[&str],
        restore: impl FnOnce(&str, &Path),
    ) -> Restored {
        let member = &self.members[index];
        let datadir = self.room.path().join(format!("restored-{index}"));
        restore(&member.name, &datadir);
        let name = format!("{}-{index}", self.name);
        let server = Sandbox::start_on(&name, &datadir, &[RESTORED, options]);
        proof::prove(&self.source, &server, &member.position);
        Restored { server, datadir }
    }
}

pub struct Restored {
    pub server: Sandbox,
    pub datadir: PathBuf,
}

impl Drop for Restored {
    fn drop(&mut self) {
        if std::env::var_os("LSNAP_E2E_KEEP").is_none() {
            self.server.kill();
            let _ = std::fs::remove_dir_all(&self.datadir);
        }
    }
}

/// Returns the file and position of the end of the source's binary log.
pub fn binlog_end(source: &Sandbox) -> (String, u64) {
    use mysql::prelude::Queryable;
    let row: mysql::Row = source
        .connect()
        .query_first(source.show_binary_log_status())
        .unwrap()
        .unwrap();
    let text = |column| crate::sandbox::text(&row, column);
    (text(0), text(1).parse().unwrap())
}
