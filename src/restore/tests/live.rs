//! A real server, backed up by the smallest engine that follows DESIGN 2.1 and 2.2 (there is no
//! `backup` room below this one), restored by the real one.
//!
//! Needs `LSNAP_TEST_MYSQLD`, a server program of which nothing but its options must be known:
//! `LSNAP_TEST_MYSQLD=.../mysqld cargo test --lib restore::tests::live -- --ignored`

use super::super::{ApplierChoice, ApplierKind, RestoreOptions, plan, run};
use super::fixture::{payload, put_file};
use crate::datadir::{
    PageReader, ReadMode, ServerPaths, ServerTablespace, Tablespace, TablespaceKind, survey,
};
use crate::delta::DeltaWriter;
use crate::innodb::redo::{self, BLOCK, FileHeader, HEADER};
use crate::innodb::{Lsn, PageNo, PageSize, SpaceId, page};
use crate::progress::Progress;
use crate::store::{
    BackupKind, BackupName, BaseRef, Binlog, FileEntry, FileRole, LsnRange, Manifest, Repository,
    ServerIdentity, SpaceFile, Upload,
};
use crate::xbstream;
use mysql::prelude::Queryable;
use mysql::{Conn, OptsBuilder};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

const ACCOUNTS: u64 = 2000;

fn program() -> PathBuf {
    std::env::var_os("LSNAP_TEST_MYSQLD")
        .expect("LSNAP_TEST_MYSQLD names a server program")
        .into()
}

/// A running server; killed when dropped.
struct Server {
    child: Child,
    socket: PathBuf,
    datadir: PathBuf,
}

impl Server {
    fn initialize(datadir: &Path) {
        let status = Command::new(program())
            .args([
                "--no-defaults",
                "--initialize-insecure",
                "--user=root",
                "--secure-file-priv=",
            ])
            .arg(format!("--datadir={}", datadir.display()))
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert!(status.success());
    }

    fn start(datadir: &Path, work: &Path, options: &[String]) -> Self {
        let socket = work.join("s");
        let child = Command::new(program())
            .args([
                "--no-defaults",
                "--user=root",
                "--skip-networking",
                "--mysqlx=OFF",
            ])
            .args([
                "--secure-file-priv=",
                "--gtid-mode=ON",
                "--enforce-gtid-consistency=ON",
            ])
            .args(["--innodb-redo-log-capacity=1G", "--server-id=7"])
            .arg(format!("--datadir={}", datadir.display()))
            .arg(format!("--socket={}", socket.display()))
            .arg(format!("--pid-file={}.pid", socket.display()))
            .arg(format!("--log-error={}", work.join("log").display()))
            .args(options)
            .spawn()
            .unwrap();
        let mut server = Self {
            child,
            socket,
            datadir: datadir.to_path_buf(),
        };
        while server.try_connect().is_none() {
            if let Some(status) = server.child.try_wait().unwrap() {
                let log = std::fs::read_to_string(work.join("log")).unwrap_or_default();
                panic!("{status}: {log}");
            }
            std::thread::yield_now();
        }
        server
    }

    fn try_connect(&self) -> Option<Conn> {
        let options = OptsBuilder::new()
            .user(Some("root"))
            .socket(self.socket.to_str())
            .prefer_socket(false);
        self.socket.exists().then(|| Conn::new(options).ok())?
    }

    fn connect(&self) -> Conn {
        self.try_connect().unwrap()
    }

    fn stop(mut self) {
        self.connect().query_drop("SHUTDOWN").unwrap();
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Moves money between accounts, in three tables that lie in different places, until told to stop.
fn spend(server: &Server, stop: &AtomicBool, seed: u64) {
    let mut connection = server.connect();
    let mut state = seed;
    let mut next = |below: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) % below
    };
    while !stop.load(Ordering::Relaxed) {
        let (from, to) = (next(ACCOUNTS), next(ACCOUNTS));
        let statements = [
            "BEGIN".to_owned(),
            format!("UPDATE d.t SET v = v - 1 WHERE id = {}", from.min(to)),
            format!("UPDATE d.ext SET v = v + 1 WHERE id = {}", from.max(to)),
            format!("INSERT INTO d.g (pad) VALUES (REPEAT('x', {}))", next(900)),
            if next(10) == 0 { "ROLLBACK" } else { "COMMIT" }.to_owned(),
        ];
        for statement in statements {
            if connection.query_drop(statement).is_err() {
                let _ = connection.query_drop("ROLLBACK");
                break;
            }
        }
    }
}

fn create_tables(server: &Server, outside: &Path) {
    let outside = outside.display();
    let mut connection = server.connect();
    for statement in [
        "CREATE DATABASE d".to_owned(),
        "CREATE TABLE d.t (id INT PRIMARY KEY, v INT NOT NULL, pad CHAR(200) NOT NULL DEFAULT '')"
            .into(),
        format!(
            "CREATE TABLE d.ext (id INT PRIMARY KEY, v INT NOT NULL) DATA DIRECTORY = '{outside}'"
        ),
        format!("CREATE TABLESPACE ts ADD DATAFILE '{outside}/ts.ibd'"),
        "CREATE TABLE d.g (id INT PRIMARY KEY AUTO_INCREMENT, pad TEXT) TABLESPACE ts".into(),
        format!("CREATE UNDO TABLESPACE u3 ADD DATAFILE '{outside}/u3.ibu'"),
        "CREATE TABLE d.zip (id INT PRIMARY KEY, pad VARCHAR(3000)) COMPRESSION = 'zlib'".into(),
        "CREATE TABLE d.old (id INT PRIMARY KEY)".into(),
        "CREATE DATABASE nothing".into(),
        "SET SESSION cte_max_recursion_depth = 100000".into(),
        format!(
            "INSERT INTO d.t (id, v) WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {ACCOUNTS}) SELECT i, 100 FROM n"
        ),
        "INSERT INTO d.ext SELECT id, 100 FROM d.t".into(),
        "INSERT INTO d.zip SELECT id, REPEAT('z', 2500) FROM d.t".into(),
        "INSERT INTO d.old SELECT id FROM d.t".into(),
        "DO innodb_redo_log_consumer_register()".into(),
    ] {
        connection
            .query_drop(&statement)
            .unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
    // The consumer lives as long as its session.
    std::mem::forget(connection);
}

/// The redo files of a server, by start LSN.
fn redo_files(datadir: &Path) -> Vec<(FileHeader, PathBuf)> {
    let mut files: Vec<_> = std::fs::read_dir(datadir.join("#innodb_redo"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| !path.to_str().unwrap().ends_with("_tmp"))
        .filter_map(|path| {
            let bytes = read_at(&path, 0, BLOCK)?;
            Some((FileHeader::parse(&bytes).ok()?, path))
        })
        .collect();
    files.sort_by_key(|(header, _)| header.start_lsn);
    files
}

fn read_at(path: &Path, at: u64, length: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; length];
    std::fs::File::open(path)
        .ok()?
        .read_exact_at(&mut bytes, at)
        .ok()?;
    Some(bytes)
}

/// The newest checkpoint and the header of the file that holds it.
fn checkpoint(datadir: &Path) -> (Lsn, Vec<u8>) {
    redo_files(datadir)
        .iter()
        .filter_map(|(_, path)| read_at(path, 0, HEADER))
        .flat_map(|header| {
            [BLOCK, 3 * BLOCK]
                .into_iter()
                .filter_map(|at| redo::parse_checkpoint(&header[at..at + BLOCK]))
                .map(|lsn| (lsn, header.clone()))
                .collect::<Vec<_>>()
        })
        .max_by_key(|(lsn, _)| *lsn)
        .unwrap()
}

fn redo_log(datadir: &Path, header: &[u8], from: Lsn, to: Lsn) -> Vec<u8> {
    let mut log = redo::logfile_header(header, from, "260101 00:00:00")
        .unwrap()
        .to_vec();
    let files = redo_files(datadir);
    let mut at = from.block_start();
    while at < to {
        let (file, path) = files
            .iter()
            .rev()
            .find(|(file, _)| file.start_lsn <= at)
            .unwrap();
        log.extend(read_at(path, HEADER as u64 + at.0 - file.start_lsn.0, BLOCK).unwrap());
        at.0 += BLOCK as u64;
    }
    log
}

/// Where backups go, and what the last one left for the next.
struct Engine<'a> {
    repo: &'a Repository,
    server: &'a Server,
    chain: Vec<Manifest>,
}

impl Engine<'_> {
    fn backup(&mut self) {
        let mut connection = self.server.connect();
        connection.query_drop("LOCK INSTANCE FOR BACKUP").unwrap();
        let number = self.chain.len();
        let base = self.chain.last().cloned();
        let full = "c-2026-01-01-00:00:00-full";
        let name = if number == 0 {
            full.to_owned()
        } else {
            format!("{full}.incr/c-2026-01-01-00:00:{number:02}-incr")
        };
        let name = BackupName::parse(&name).unwrap();
        let upload = self.repo.begin(&name, 4).unwrap();
        let (start, header) = checkpoint(&self.server.datadir);
        let floor = base.as_ref().map(|base| base.lsn.start_checkpoint);
        let found = self.survey(&mut connection);
        let mut files: Vec<_> = found
            .tablespaces
            .iter()
            .map(|space| put_space(&upload, space, floor))
            .collect();
        for file in &found.plain {
            let content = std::fs::read(&file.source).unwrap();
            files.push(put_file(&upload, &file.name, FileRole::Plain, &content));
        }
        for schema in &found.schemas {
            let path = format!("{schema}/db.opt");
            files.push(put_file(&upload, &path, FileRole::Plain, b""));
        }
        let (local, engines): (String, String) = connection
            .query_first("SELECT local, storage_engines FROM performance_schema.log_status")
            .unwrap()
            .unwrap();
        let local: serde_json::Value = serde_json::from_str(&local).unwrap();
        let engines: serde_json::Value = serde_json::from_str(&engines).unwrap();
        let lsn = |key: &str| Lsn(engines["InnoDB"][key].as_u64().unwrap());
        let last = lsn("LSN");
        connection
            .query_drop("FLUSH NO_WRITE_TO_BINLOG ENGINE LOGS")
            .unwrap();
        let log = redo_log(&self.server.datadir, &header, start, last);
        files.push(put_file(
            &upload,
            "xtrabackup_logfile",
            FileRole::Redo,
            &log,
        ));
        let range = LsnRange {
            from_lsn: base.as_ref().map_or(Lsn(0), |base| base.lsn.to_lsn),
            scan_floor: floor.unwrap_or(Lsn(0)),
            start_checkpoint: start,
            to_lsn: lsn("LSN_checkpoint"),
            last_lsn: last,
        };
        let server = identity(&mut connection, &header);
        let manifest = Manifest {
            digest: String::new(),
            format: 1,
            lsnap_version: "0".into(),
            id: format!("00000000-0000-4000-8000-{number:012}"),
            name,
            kind: if number == 0 {
                BackupKind::Full
            } else {
                BackupKind::Incremental
            },
            base: base.map(|base| BaseRef {
                name: base.name,
                id: base.id,
                to_lsn: base.lsn.to_lsn,
            }),
            started_at: chrono::Utc::now(),
            finished_at: chrono::Utc::now(),
            server,
            lsn: range,
            binlog: Some(Binlog {
                file: "b".into(),
                position: 4,
                gtid_executed: local["gtid_executed"].as_str().unwrap().into(),
            }),
            files,
            left_out: Vec::new(),
            pages: Default::default(),
        };
        upload.finish(&manifest).unwrap();
        self.chain.push(manifest);
        connection.query_drop("UNLOCK INSTANCE").unwrap();
    }

    fn survey(&self, connection: &mut Conn) -> crate::datadir::Survey {
        let known = connection
            .query_map(
                "SELECT FILE_ID, TABLESPACE_NAME, FILE_NAME, FILE_TYPE FROM information_schema.FILES \
                 WHERE ENGINE = 'InnoDB' AND FILE_TYPE <> 'TEMPORARY' AND FILE_ID IS NOT NULL",
                |(id, name, path, kind): (u32, String, String, String)| ServerTablespace {
                    space_id: SpaceId(id),
                    name,
                    path: path.into(),
                    undo: kind == "UNDO LOG",
                },
            )
            .unwrap();
        let datadir = self.server.datadir.clone();
        let paths = ServerPaths {
            data_home: PathBuf::new(),
            data_file_path: "ibdata1:12M:autoextend".into(),
            undo_dir: datadir.clone(),
            redo_dir: datadir.clone(),
            doublewrite_dir: None,
            temp_dir: datadir.join("#innodb_temp"),
            page_size: PageSize::DEFAULT,
            datadir,
        };
        survey(&paths, &known).unwrap()
    }
}

fn identity(connection: &mut Conn, header: &[u8]) -> ServerIdentity {
    let (uuid, version): (String, String) = connection
        .query_first("SELECT @@server_uuid, @@version")
        .unwrap()
        .unwrap();
    let header = FileHeader::parse(&header[..BLOCK]).unwrap();
    ServerIdentity {
        uuid,
        version,
        flavor: "mysql".into(),
        hostname: "h".into(),
        page_size: PageSize::DEFAULT,
        redo_format: header.format,
        redo_creator: header.creator_str(),
        redo_log_uuid: header.log_uuid,
        data_file_path: "ibdata1:12M:autoextend".into(),
        lower_case_table_names: 0,
    }
}

/// Stores a tablespace whole, or the pages of it from `floor` on.
fn put_space(upload: &Upload, space: &Tablespace, floor: Option<Lsn>) -> FileEntry {
    let reader = PageReader::open(space, ReadMode::Buffered).unwrap();
    let size = space.page_size.bytes();
    let pages = reader.pages();
    let file = SpaceFile {
        name: space.name.clone(),
        space_id: space.space_id,
        node: space.node,
        flags: space.flags,
        page_size: space.page_size,
        bytes: pages * size as u64,
        undo: space.kind == TablespaceKind::Undo,
        encrypted: false,
        external: space
            .external
            .as_ref()
            .map(|path| path.display().to_string()),
        tablespace_name: space.tablespace_name.clone(),
    };
    let path = floor.map_or_else(|| space.name.clone(), |_| format!("{}.delta", space.name));
    let mut writer = floor.map(|_| DeltaWriter::new(space.page_size, 1 << 20));
    let mut emit = |piece: crate::delta::Piece| {
        let mut parts = payload(&path, piece.offset, piece.data).to_vec();
        if piece.last {
            parts.push(xbstream::end_chunk(&path).unwrap());
        }
        upload.put(&path, piece.index, piece.offset, parts).unwrap();
    };
    let at_once = 64;
    let mut buffer = vec![0; at_once * size];
    let mut index = 0;
    for first in (0..pages).step_by(at_once) {
        let count = (pages - first).min(at_once as u64) as usize;
        reader
            .read(PageNo(first as u32), count, &mut buffer)
            .unwrap();
        let data = &buffer[..count * size];
        if let (Some(writer), Some(floor)) = (&mut writer, floor) {
            for (number, image) in data.chunks_exact(size).enumerate() {
                if page::lsn(image) >= floor && !page::is_zero(image) {
                    writer.push(PageNo(first as u32 + number as u32), image, &mut emit);
                }
            }
        } else {
            let at = first * size as u64;
            let mut parts = payload(&path, at, data.to_vec().into()).to_vec();
            if first + count as u64 == pages {
                parts.push(xbstream::end_chunk(&path).unwrap());
            }
            upload.put(&path, index, at, parts).unwrap();
            index += 1;
        }
    }
    let bytes = writer.map_or(file.bytes, |writer| writer.finish(&mut emit).bytes);
    FileEntry {
        role: if floor.is_some() {
            FileRole::Delta(file)
        } else {
            FileRole::Tablespace(file)
        },
        bytes,
        objects: upload.finish_file(&path).unwrap(),
        path,
    }
}

struct Say;
impl Progress for Say {
    fn note(&self, message: &str) {
        eprintln!("  {message}");
    }
}

/// Restores a backup and looks at it with a server that has no special options.
fn restore_and_check(repo: &Repository, manifest: &Manifest, work: &Path, tables: &[&str]) {
    let options = RestoreOptions {
        datadir: work.join("restored"),
        applier: ApplierChoice::Mysqld,
        mysqld: Some(program()),
        user: Some("root".into()),
        threads: 2,
        ..RestoreOptions::default()
    };
    let plan = plan(repo, manifest.name.as_str(), &options).unwrap();
    assert_eq!(plan.applier.kind, ApplierKind::Mysqld);
    eprintln!("{plan}");
    let report = run(repo, &plan, &options, &Say).unwrap_or_else(|error| panic!("{error}"));
    assert!(report.gtid_verified);
    eprintln!("{report:#?}");
    let datadir = &options.datadir;
    for gone in ["auto.cnf", "ibtmp1", "#innodb_temp", "xtrabackup_logfile"] {
        assert!(!datadir.join(gone).exists(), "{gone}");
    }
    let (head, _) = redo_files(datadir).remove(0);
    assert_ne!(head.log_uuid, manifest.server.redo_log_uuid);
    let identity = head.log_uuid;

    let server = Server::start(datadir, work, &["--log-bin=b".to_owned()]);
    let mut connection = server.connect();
    for table in tables {
        let rows: Vec<(String, String, String, String)> = connection
            .query(format!("CHECK TABLE {table} EXTENDED"))
            .unwrap();
        assert!(rows.iter().all(|row| row.3 == "OK"), "{rows:?}");
    }
    let uuid: String = connection
        .query_first("SELECT @@server_uuid")
        .unwrap()
        .unwrap();
    assert_ne!(uuid, manifest.server.uuid);
    let schema: Option<String> = connection
        .query_first("SHOW DATABASES LIKE 'nothing'")
        .unwrap();
    assert!(schema.is_some());
    // Every transfer is whole: money went from one table to the other, and each left a row.
    let (money, moved, rows): (u64, u64, u64) = connection
        .query_first(
            "SELECT (SELECT SUM(v) FROM d.t) + (SELECT SUM(v) FROM d.ext), \
                      (SELECT SUM(100 - v) FROM d.t), (SELECT COUNT(*) FROM d.g)",
        )
        .unwrap()
        .unwrap();
    assert_eq!(money, 2 * 100 * ACCOUNTS);
    assert_eq!(moved, rows);
    // What lay outside lies inside now, and is used from there.
    let outside: Vec<String> = connection
        .query("SELECT FILE_NAME FROM information_schema.FILES WHERE FILE_NAME LIKE '/%' AND FILE_TYPE <> 'TEMPORARY'")
        .unwrap();
    assert!(outside.is_empty(), "{outside:?}");
    connection
        .query_drop("INSERT INTO d.ext VALUES (-1, 0)")
        .unwrap();
    connection
        .query_drop("ALTER UNDO TABLESPACE u3 SET INACTIVE")
        .unwrap();
    drop(connection);
    server.stop();
    assert_eq!(redo_files(datadir).remove(0).0.log_uuid, identity);
    std::fs::remove_dir_all(datadir).unwrap();
}

#[test]
#[ignore = "needs LSNAP_TEST_MYSQLD"]
fn a_chain_of_a_loaded_server() {
    let dir = tempfile::tempdir().unwrap();
    let work = |name: &str| {
        let path = dir.path().join(name);
        std::fs::create_dir(&path).unwrap();
        path
    };
    let (source, outside, target) = (work("source"), work("outside"), work("target"));
    let datadir = dir.path().join("data");
    Server::initialize(&datadir);
    let options = [
        format!("--innodb-directories={}", outside.display()),
        "--log-bin=b".into(),
    ];
    let server = Server::start(&datadir, &source, &options);
    create_tables(&server, &outside);
    let repo = Repository::open(dir.path().join("repo").to_str().unwrap()).unwrap();
    let mut engine = Engine {
        repo: &repo,
        server: &server,
        chain: Vec::new(),
    };
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for seed in 0..4 {
            let (server, stop) = (&server, &stop);
            scope.spawn(move || spend(server, stop, seed));
        }
        engine.backup();
        let mut connection = server.connect();
        for statement in [
            "DROP TABLE d.old",
            "CREATE TABLE d.new (id INT PRIMARY KEY) SELECT id FROM d.t",
            "TRUNCATE TABLE d.zip",
            "INSERT INTO d.zip SELECT id, REPEAT('y', 2900) FROM d.new",
        ] {
            connection.query_drop(statement).unwrap();
        }
        engine.backup();
        connection
            .query_drop("RENAME TABLE d.new TO d.newer")
            .unwrap();
        connection
            .query_drop("ALTER TABLE d.newer ADD COLUMN x INT, ALGORITHM=INSTANT")
            .unwrap();
        engine.backup();
        stop.store(true, Ordering::Relaxed);
    });
    let common = ["d.t", "d.ext", "d.g", "d.zip"];
    for (manifest, more) in engine.chain.iter().zip(["d.old", "d.new", "d.newer"]) {
        let tables: Vec<_> = common.iter().copied().chain([more]).collect();
        restore_and_check(&repo, manifest, &target, &tables);
    }
    server.stop();
}
