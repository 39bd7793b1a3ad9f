//! The `server` layer with a real MySQL server, which `tools/sandbox` starts once for this file.
//!
//! Each test uses the server exclusively, because locks and privileges of one would disturb
//! another.

#![allow(clippy::unwrap_used)] // helpers of tests, which clippy takes for plain code

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use common::sandbox::Sandbox;
use lsnap::server::{
    ConnectOptions, Flavor, ListedTables, Password, Replica, Server, ServerError, SslMode,
    TablespaceRow, Transport,
};
use mysql::prelude::Queryable;
use mysql::{Conn, OptsBuilder};

const NAME: &str = "server-room";
const SECOND: Duration = Duration::from_secs(1);

/// The sandbox's server, held by one test.
struct Held {
    _turn: MutexGuard<'static, ()>,
    socket: PathBuf,
    port: u16,
    datadir: PathBuf,
}

impl Held {
    fn take() -> Self {
        static TURN: Mutex<()> = Mutex::new(());
        static SERVER: OnceLock<Sandbox> = OnceLock::new();
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let options = ["--gtid-mode=ON", "--enforce-gtid-consistency=ON"];
        let server = SERVER.get_or_init(|| Sandbox::shared(NAME, &[&options]));
        Self {
            _turn: turn,
            socket: server.socket().into(),
            port: server.port(),
            datadir: server.datadir(),
        }
    }

    fn root(&self) -> ConnectOptions {
        ConnectOptions::for_socket(&self.socket, "root")
    }

    fn server(&self) -> Server {
        Server::connect(&self.root()).unwrap()
    }

    fn admin(&self) -> Conn {
        let socket = Some(self.socket.to_str().unwrap());
        Conn::new(OptsBuilder::new().socket(socket).user(Some("root"))).unwrap()
    }

    fn sql(&self, statements: &[&str]) {
        let mut admin = self.admin();
        for statement in statements {
            admin
                .query_drop(statement)
                .unwrap_or_else(|e| panic!("{statement}: {e}"));
        }
    }

    fn tcp(&self, user: &str, password: &str, ssl_mode: SslMode) -> ConnectOptions {
        ConnectOptions {
            password: Some(Password::new(password)),
            transport: Transport::Tcp {
                host: "127.0.0.1".into(),
                port: self.port,
            },
            ssl_mode,
            ..ConnectOptions::for_socket("", user)
        }
    }

    fn by_socket(&self, user: &str, password: &str) -> ConnectOptions {
        ConnectOptions {
            password: Some(Password::new(password)),
            ..ConnectOptions::for_socket(&self.socket, user)
        }
    }
}

/// Polls the server until the condition is true.
fn wait_for(admin: &mut Conn, condition: &str) {
    for _ in 0..2000 {
        let yes: Option<i64> = admin
            .query_first(format!("SELECT ({condition}) > 0"))
            .unwrap();
        if yes == Some(1) {
            return;
        }
        thread::sleep(Duration::from_millis(5));
    }
    panic!("the condition never became true: {condition}");
}

#[test]
fn identity_and_variables() {
    let held = Held::take();
    let mut server = held.server();
    let id = server.identity().unwrap();
    let uuid: Option<String> = held.admin().query_first("SELECT @@server_uuid").unwrap();
    assert_eq!(Some(id.server_uuid.clone()), uuid);
    assert_eq!(
        (id.flavor, id.port, id.log_bin, id.gtid_mode.as_str()),
        (Flavor::MySql, held.port, true, "ON")
    );
    assert!(
        id.version_string.starts_with(&id.version.to_string()),
        "{id:?}"
    );
    Server::check_supported(&id, true).unwrap();

    let v = server.variables().unwrap();
    assert_eq!(
        v.datadir.canonicalize().unwrap(),
        held.datadir.canonicalize().unwrap()
    );
    assert_eq!(
        (v.page_size.bytes(), v.log_bin, v.server_uuid),
        (16384, true, id.server_uuid)
    );
    assert!(
        v.innodb_data_file_path.starts_with("ibdata1:"),
        "{}",
        v.innodb_data_file_path
    );
    let base = server.binary_log_basename().unwrap().unwrap();
    assert!(Path::new(&base).is_absolute(), "{base}");
    assert_eq!(server.connection_id(), server.connection_id());
    server.ping().unwrap();
    assert!(server.redo_enabled().unwrap());
    assert!(server.current_lsn().unwrap() >= server.checkpoint_lsn().unwrap());
}

#[test]
fn passwords_over_every_connection() {
    let held = Held::take();
    // A new password empties the server's cache, so that each case uses full authentication again.
    let fresh = || held.sql(&["ALTER USER pw@'%' IDENTIFIED BY 'S3cret!'"]);
    held.sql(&["CREATE USER pw@'%' IDENTIFIED WITH caching_sha2_password BY 'S3cret!'"]);
    let ca = held.datadir.join("ca.pem");
    let verified = |mode, ca: &Path| ConnectOptions {
        ssl_ca: Some(ca.into()),
        ..held.tcp("pw", "S3cret!", mode)
    };
    let plain = held.tcp("pw", "S3cret!", SslMode::Disabled);
    for (what, o) in [
        ("socket", held.by_socket("pw", "S3cret!")),
        ("preferred", held.tcp("pw", "S3cret!", SslMode::Preferred)),
        ("required", held.tcp("pw", "S3cret!", SslMode::Required)),
        ("ca", verified(SslMode::VerifyCa, &ca)),
        (
            "asked key",
            ConnectOptions {
                get_server_public_key: true,
                ..plain.clone()
            },
        ),
        (
            "own key",
            ConnectOptions {
                server_public_key: Some(held.datadir.join("public_key.pem")),
                ..plain.clone()
            },
        ),
    ] {
        fresh();
        Server::connect(&o)
            .unwrap_or_else(|e| panic!("{what}: {e}"))
            .ping()
            .unwrap();
    }
    fresh();
    let error = Server::connect(&plain).unwrap_err();
    assert!(
        matches!(error, ServerError::InsecureAuthentication { .. }),
        "{error}"
    );
    let no_key = ConnectOptions {
        server_public_key: Some(ca.clone()),
        ..plain.clone()
    };
    let error = Server::connect(&no_key).unwrap_err();
    assert!(
        error.to_string().contains("server-public-key-path"),
        "{error}"
    );
    let identity = verified(SslMode::VerifyIdentity, &ca);
    let foreign = verified(SslMode::VerifyCa, &foreign_authority());
    let missing = verified(SslMode::VerifyCa, Path::new("/nowhere/ca.pem"));
    for (what, o) in [
        ("identity", identity),
        ("foreign", foreign),
        ("missing", missing),
    ] {
        let error = Server::connect(&o).unwrap_err();
        assert!(matches!(error, ServerError::Tls { .. }), "{what}: {error}");
    }
    for o in [
        held.by_socket("pw", "wrong-S3cret"),
        held.tcp("pw", "wrong-S3cret", SslMode::Preferred),
    ] {
        let error = Server::connect(&o).unwrap_err();
        assert!(matches!(error, ServerError::AccessDenied { .. }), "{error}");
        assert!(
            !format!("{error} {error:?} {o:?}").contains("S3cret"),
            "{error:?}"
        );
    }
    held.sql(&["DROP USER pw@'%'"]);
}

#[test]
fn tls_is_really_used() {
    let held = Held::take();
    held.sql(&["CREATE USER tls@'%' IDENTIFIED BY 'x' REQUIRE SSL"]);
    Server::connect(&held.tcp("tls", "x", SslMode::Preferred)).unwrap();
    let error = Server::connect(&ConnectOptions {
        get_server_public_key: true,
        ..held.tcp("tls", "x", SslMode::Disabled)
    });
    assert!(
        matches!(error, Err(ServerError::AccessDenied { .. })),
        "{error:?}"
    );
    held.sql(&["DROP USER tls@'%'"]);
}

/// Returns a certificate of another authority, which signed nothing here.
fn foreign_authority() -> PathBuf {
    static DIR: OnceLock<tempfile::TempDir> = OnceLock::new();
    let path = DIR
        .get_or_init(|| tempfile::tempdir().unwrap())
        .path()
        .join("ca.pem");
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=other",
            "-keyout",
            "/dev/null",
            "-out",
        ])
        .arg(&path)
        .output()
        .expect("openssl makes the foreign authority");
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    path
}

#[test]
fn no_server() {
    let held = Held::take();
    let nowhere = ConnectOptions::for_socket(held.datadir.join("no.sock"), "root");
    let error = Server::connect(&nowhere).unwrap_err().to_string();
    assert!(
        error.contains("no.sock") && error.contains("is the server running"),
        "{error}"
    );
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let transport = Transport::Tcp {
        host: "127.0.0.1".into(),
        port: free,
    };
    let error = Server::connect(&ConnectOptions {
        transport,
        ..held.root()
    })
    .unwrap_err();
    assert!(matches!(error, ServerError::NoServer { .. }), "{error}");
    assert!(error.to_string().contains("no program listens"), "{error}");
}

/// The tables of an account without a table privilege.
const SOME: ListedTables = ListedTables::Some;

/// The GRANT that the `server` layer prints gives exactly the privileges that a backup needs: with
/// it, all statements work. Without any one of its parts, the check names that part, and the
/// statement that needs it fails or returns nothing.
#[test]
fn the_printed_grant_is_exactly_enough() {
    let held = Held::take();
    held.sql(&[
        "CREATE USER bk@localhost IDENTIFIED BY 'x'",
        "CREATE DATABASE other",
        "CREATE TABLE other.m (a INT) ENGINE=MyISAM",
    ]);
    let login = || Server::connect(&held.by_socket("bk", "x")).unwrap();
    let error = login().check_privileges().unwrap_err();
    let ServerError::MissingPrivileges { missing, grant, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!(missing.len(), 5, "{missing:?}");
    for statement in grant.split_terminator(';') {
        held.sql(&[statement]);
    }
    // Without a table privilege, the list of tables is incomplete; nothing of a server with known engines needs it.
    assert_eq!(login().check_privileges().unwrap(), SOME);
    assert!(!login().has_non_innodb_tables().unwrap());
    held.sql(&["GRANT LOCK TABLES ON *.* TO bk@localhost"]);
    assert_eq!(login().check_privileges().unwrap(), SOME);
    assert!(!login().has_non_innodb_tables().unwrap());
    held.sql(&["GRANT SHOW VIEW ON *.* TO bk@localhost"]);
    assert_eq!(login().check_privileges().unwrap(), ListedTables::All);
    assert!(login().has_non_innodb_tables().unwrap());
    held.sql(&["REVOKE LOCK TABLES, SHOW VIEW ON *.* FROM bk@localhost"]);
    for (name, step) in STEPS {
        step(&mut login()).unwrap_or_else(|e| panic!("{name}: {e}"));
    }
    for (privilege, on, steps) in [
        ("BACKUP_ADMIN", "*.*", &["lock_instance", "log_status"][..]),
        ("PROCESS", "*.*", &["tablespaces", "dictionary"]),
        (
            "RELOAD",
            "*.*",
            &["lock_tables", "flush_binary_logs", "flush_engine_logs"],
        ),
        ("REPLICATION CLIENT", "*.*", &["replica"]),
        ("SELECT", "performance_schema.log_status", &["log_status"]),
    ] {
        held.sql(&[&format!("REVOKE {privilege} ON {on} FROM bk@localhost")]);
        let error = login().check_privileges().unwrap_err().to_string();
        assert!(
            error.contains(&format!("GRANT {privilege} ON {on} TO `bk`@`localhost`")),
            "{error}"
        );
        for (name, step) in STEPS {
            assert_eq!(
                step(&mut login()).is_err(),
                steps.contains(name),
                "{name} without {privilege}"
            );
        }
        held.sql(&[&format!("GRANT {privilege} ON {on} TO bk@localhost")]);
    }
    held.sql(&["DROP USER bk@localhost", "DROP DATABASE other"]);
}

type Step = fn(&mut Server) -> Result<(), ServerError>;

const STEPS: &[(&str, Step)] = &[
    ("identity", |s| s.identity().map(drop)),
    ("variables", |s| s.variables().map(drop)),
    ("lock_instance", |s| s.lock_instance(SECOND)),
    ("lock_tables", |s| s.lock_tables(SECOND)),
    ("flush_binary_logs", Server::flush_binary_logs),
    ("flush_engine_logs", Server::flush_engine_logs),
    ("log_status", |s| s.log_status().map(drop)),
    ("tablespaces", |s| s.tablespaces().map(drop)),
    ("dictionary", |s| s.dictionary().map(drop)),
    ("replica", |s| s.replica().map(drop)),
    ("redo_enabled", |s| s.redo_enabled().map(drop)),
    ("checkpoint_lsn", |s| s.checkpoint_lsn().map(drop)),
];

#[test]
fn roles_and_partial_revokes() {
    let held = Held::take();
    held.sql(&[
        "CREATE ROLE backup_role",
        "GRANT BACKUP_ADMIN, PROCESS, RELOAD, REPLICATION CLIENT ON *.* TO backup_role",
        "GRANT SELECT ON performance_schema.log_status TO backup_role",
        "CREATE USER rl@localhost IDENTIFIED BY 'x'",
        "GRANT backup_role TO rl@localhost",
    ]);
    let login = || Server::connect(&held.by_socket("rl", "x")).unwrap();
    let error = login().check_privileges().unwrap_err().to_string();
    assert!(
        error.contains("SET DEFAULT ROLE ALL TO `rl`@`localhost`") && error.contains("backup_role"),
        "{error}"
    );
    held.sql(&["SET DEFAULT ROLE ALL TO rl@localhost"]);
    login().check_privileges().unwrap();
    login().log_status().unwrap();

    held.sql(&[
        "SET GLOBAL partial_revokes = ON",
        "CREATE USER pr@localhost IDENTIFIED BY 'x'",
        "GRANT BACKUP_ADMIN, PROCESS, RELOAD, REPLICATION CLIENT, SELECT ON *.* TO pr@localhost",
        "REVOKE SELECT ON performance_schema.* FROM pr@localhost",
    ]);
    let login = || Server::connect(&held.by_socket("pr", "x")).unwrap();
    assert!(matches!(
        login().log_status(),
        Err(ServerError::MissingPrivilege { .. })
    ));
    let error = login().check_privileges().unwrap_err();
    let ServerError::MissingPrivileges { grant, .. } = &error else {
        panic!("{error}")
    };
    for statement in grant.split_terminator(';') {
        held.sql(&[statement]);
    }
    login().check_privileges().unwrap();
    login().log_status().unwrap();
    held.sql(&[
        "DROP USER pr@localhost, rl@localhost",
        "DROP ROLE backup_role",
        "SET GLOBAL partial_revokes = OFF",
    ]);
}

#[test]
fn the_holder_of_a_lock_is_reported() {
    let held = Held::take();
    held.sql(&["CREATE DATABASE lk", "CREATE TABLE lk.t (a INT)"]);
    let mut reader = held.admin();
    reader.query_drop("BEGIN").unwrap();
    reader.query_drop("SELECT * FROM lk.t").unwrap();
    let mut ddl = held.admin();
    let ddl_id = ddl.connection_id();
    let altering = thread::spawn(move || ddl.query_drop("ALTER TABLE lk.t ADD secret_column INT"));
    let mut admin = held.admin();
    wait_for(
        &mut admin,
        &format!(
            "SELECT COUNT(*) FROM performance_schema.processlist WHERE ID = {ddl_id} AND STATE LIKE 'Waiting for table%'"
        ),
    );
    let error = held.server().lock_instance(SECOND).unwrap_err().to_string();
    let expected = format!("held by connection {ddl_id} of root@localhost");
    assert!(
        error.contains(&expected) && error.contains("ALTER TABLE") && error.contains("1 s"),
        "{error}"
    );
    assert!(
        error.contains("BackupOptions::lock_timeout") && !error.contains("secret_column"),
        "{error}"
    );
    reader.query_drop("COMMIT").unwrap();
    altering.join().unwrap().unwrap();

    reader.query_drop("LOCK TABLES lk.t WRITE").unwrap();
    let error = held.server().lock_tables(SECOND).unwrap_err();
    assert!(matches!(error, ServerError::LockTimeout { .. }), "{error}");
    assert!(
        error
            .to_string()
            .contains(&format!("connection {} of", reader.connection_id())),
        "{error}"
    );
    reader.query_drop("UNLOCK TABLES").unwrap();
    held.sql(&["DROP DATABASE lk"]);
}

/// Guarantees that a backup relies on while it holds the instance lock: none of these changes can
/// happen.
#[test]
fn the_instance_lock_blocks_changes_that_would_break_a_backup() {
    let held = Held::take();
    held.sql(&[
        "CREATE DATABASE il",
        "CREATE TABLE il.t (a INT)",
        "CREATE UNDO TABLESPACE il_undo ADD DATAFILE 'il_undo.ibu'",
    ]);
    let mut server = held.server();
    server.lock_instance(SECOND).unwrap();
    let mut other = held.admin();
    other
        .query_drop("SET SESSION lock_wait_timeout = 1")
        .unwrap();
    for statement in [
        "CREATE TABLE il.u (a INT)",
        // Tables of other engines are found by their files: none appears later.
        "CREATE TABLE il.u (a INT) ENGINE=MyISAM",
        "ALTER TABLE il.t ENGINE=MyISAM",
        "TRUNCATE TABLE il.t",
        "DROP TABLE il.t",
        "ALTER TABLE il.t ADD b INT, ALGORITHM=INSTANT",
        "CREATE TABLESPACE il_g ADD DATAFILE 'il_g.ibd'",
        "ALTER UNDO TABLESPACE il_undo SET INACTIVE",
        "DROP UNDO TABLESPACE il_undo",
        "ALTER INSTANCE DISABLE INNODB REDO_LOG",
        "ALTER INSTANCE ROTATE INNODB MASTER KEY",
        "CREATE USER il@localhost",
    ] {
        let error = other.query_drop(statement);
        assert!(
            matches!(&error, Err(mysql::Error::MySqlError(e)) if e.code == 1205),
            "{statement}: {error:?}"
        );
    }
    other.query_drop("INSERT INTO il.t VALUES (1)").unwrap();
    // Several backups may hold it at the same time.
    held.server().lock_instance(SECOND).unwrap();
    server.unlock_instance().unwrap();
    other.query_drop("DROP DATABASE il").unwrap();
    other
        .query_drop("ALTER UNDO TABLESPACE il_undo SET INACTIVE")
        .unwrap();
    wait_for(
        &mut other,
        "SELECT COUNT(*) FROM INFORMATION_SCHEMA.INNODB_TABLESPACES WHERE NAME = 'il_undo' AND STATE = 'empty'",
    );
    other.query_drop("DROP UNDO TABLESPACE il_undo").unwrap();
}

#[test]
fn flushes_and_locks_create_no_gtid() {
    let held = Held::take();
    held.sql(&[
        "CREATE DATABASE fl",
        "CREATE TABLE fl.t (a INT)",
        "INSERT INTO fl.t VALUES (1)",
    ]);
    let mut server = held.server();
    let before = server.log_status().unwrap();
    let at = before.binlog.clone().unwrap();
    assert_eq!(at.gtid_executed, before.gtid_executed);
    assert_eq!(
        server.gtid_executed().unwrap().as_deref(),
        Some(before.gtid_executed.as_str())
    );
    server.lock_instance(SECOND).unwrap();
    server.lock_tables(SECOND).unwrap();
    server.flush_engine_logs().unwrap();
    server.flush_binary_logs().unwrap();
    server.unlock_tables().unwrap();
    server.unlock_instance().unwrap();
    let after = server.log_status().unwrap();
    assert_eq!(
        after.gtid_executed, before.gtid_executed,
        "lsnap's statements must not be replicated"
    );
    assert_ne!(after.binlog.unwrap().file, at.file);
    assert!(after.lsn >= before.lsn && after.checkpoint_lsn <= after.lsn);

    held.sql(&["INSERT INTO fl.t VALUES (2)"]);
    let more = server.gtid_executed().unwrap().unwrap();
    assert!(server.gtid_subset(&before.gtid_executed, &more).unwrap());
    assert!(!server.gtid_subset(&more, &before.gtid_executed).unwrap());
    assert!(server.gtid_subset("nonsense", &more).is_err());
    held.sql(&["DROP DATABASE fl"]);
}

#[test]
fn replication_channels() {
    let held = Held::take();
    let mut server = held.server();
    assert_eq!(server.replica().unwrap(), Replica::default());
    held.sql(&[
        "CREATE DATABASE rc",
        "CHANGE REPLICATION SOURCE TO SOURCE_HOST='h', SOURCE_AUTO_POSITION=1 FOR CHANNEL 'auto'",
        "CHANGE REPLICATION SOURCE TO SOURCE_HOST='h', SOURCE_LOG_FILE='b.000003', SOURCE_LOG_POS=197, \
         SOURCE_AUTO_POSITION=0 FOR CHANNEL 'by_file'",
    ]);
    let replica = server.replica().unwrap();
    assert!(replica.gtid_mode_on && replica.preserves_order && replica.logs_updates);
    assert!(!replica.tables_denied);
    let [auto, by_file] = &replica.channels[..] else {
        panic!("{replica:?}")
    };
    assert!(auto.auto_position && !auto.applier_runs && auto.name == "auto");
    assert!(!by_file.auto_position && by_file.name == "by_file" && by_file.host == "h");
    let recorded = by_file.recorded.as_ref().unwrap();
    let low = (recorded.low.file.as_str(), recorded.low.position);
    assert_eq!(low, ("b.000003", 197));
    assert!(recorded.workers.is_empty() && !recorded.assigns_gtids);
    held.sql(&["RESET REPLICA ALL", "DROP DATABASE rc"]);
}

/// While a group of transactions is between the binary log and InnoDB, this server's `log_status`
/// waits: it never shows a position that includes the group and a GTID set that doesn't. (Servers
/// up to 8.4 do: MySQL bugs 102175, 112331.)
#[test]
fn log_status_shows_whole_groups_only() {
    let held = Held::take();
    held.sql(&[
        "CREATE DATABASE gc",
        "CREATE TABLE gc.t (a INT)",
        "SET GLOBAL binlog_group_commit_sync_delay = 400000",
    ]);
    let mut server = held.server();
    let state = |server: &mut Server| server.log_status().unwrap().binlog.unwrap();
    let before = state(&mut server);
    let mut writer = held.admin();
    let id = writer.connection_id();
    let writing = thread::spawn(move || writer.query_drop("INSERT INTO gc.t VALUES (1)"));
    wait_for(
        &mut held.admin(),
        &format!(
            "SELECT COUNT(*) FROM performance_schema.processlist WHERE ID = {id} AND STATE = 'waiting for handler commit'"
        ),
    );
    let mut seen = Vec::new();
    while !writing.is_finished() {
        seen.push(state(&mut server));
    }
    writing.join().unwrap().unwrap();
    let after = state(&mut server);
    assert_ne!(before.position, after.position);
    for one in seen {
        assert!(
            one == before || one == after,
            "{one:?} is neither {before:?} nor {after:?}"
        );
    }
    held.sql(&[
        "SET GLOBAL binlog_group_commit_sync_delay = 0",
        "DROP DATABASE gc",
    ]);
}

#[test]
fn tablespaces_with_every_kind_of_name() {
    let held = Held::take();
    held.sql(&[
        "CREATE DATABASE `we ird#`",
        "CREATE TABLE `we ird#`.`t#ä` (a INT)",
        "CREATE TABLE `we ird#`.parted (a INT) PARTITION BY HASH (a) PARTITIONS 2",
        "CREATE TABLESPACE ts_general ADD DATAFILE 'ts_general.ibd'",
        "CREATE TABLE `we ird#`.g (a INT) TABLESPACE ts_general",
        "CREATE TEMPORARY TABLE `we ird#`.tmp (a INT)",
    ]);
    let rows = held.server().tablespaces().unwrap();
    let find = |end: &str| -> &TablespaceRow {
        let found: Vec<_> = rows.iter().filter(|r| r.path.ends_with(end)).collect();
        assert_eq!(found.len(), 1, "{end} in {rows:#?}");
        found[0]
    };
    assert_eq!(find("/ibdata1").space_id, 0);
    assert_eq!(find("/mysql.ibd").space_id, 0xFFFF_FFFE);
    assert_eq!(find("/ts_general.ibd").name, "ts_general");
    assert_eq!(
        find("t@0023@0k.ibd").path,
        "./we@0020ird@0023/t@0023@0k.ibd"
    );
    assert_eq!(
        find("/parted#p#p0.ibd").path,
        "./we@0020ird@0023/parted#p#p0.ibd"
    );
    for row in &rows {
        assert_eq!(row.undo, row.path.contains("undo_"), "{row:?}");
        assert!(
            !row.path.contains("ibtmp") && !row.path.contains("innodb_temp"),
            "{row:?}"
        );
        assert!(held.datadir.join(&row.path).exists(), "{row:?}");
    }
    held.sql(&["DROP DATABASE `we ird#`", "DROP TABLESPACE ts_general"]);
}

#[test]
fn tables_without_redo_and_redo_off() {
    let held = Held::take();
    let mut server = held.server();
    assert!(!server.has_non_innodb_tables().unwrap());
    for engine in ["MyISAM", "CSV", "ARCHIVE", "MRG_MyISAM"] {
        held.sql(&[
            "CREATE DATABASE ni",
            &format!("CREATE TABLE ni.t (a INT NOT NULL) ENGINE={engine}"),
        ]);
        assert!(server.has_non_innodb_tables().unwrap(), "{engine}");
        held.sql(&["DROP DATABASE ni"]);
    }
    assert!(!server.has_non_innodb_tables().unwrap());
    for schema in ["mysql", "sys"] {
        let table = format!("{schema}.of_another_engine");
        held.sql(&[&format!(
            "CREATE TABLE {table} (a INT NOT NULL) ENGINE=MyISAM"
        )]);
        assert!(server.has_non_innodb_tables().unwrap(), "{schema}");
        held.sql(&[&format!("DROP TABLE {table}")]);
    }
    assert!(!server.has_non_innodb_tables().unwrap());
    held.sql(&["CREATE DATABASE ni"]);
    for engine in [
        "InnoDB",
        "MyISAM",
        "CSV",
        "ARCHIVE",
        "MRG_MyISAM",
        "MEMORY",
        "BLACKHOLE",
    ] {
        held.sql(&[&format!(
            "CREATE TABLE ni.{engine} (a INT NOT NULL) ENGINE={engine}"
        )]);
    }
    // Every table of a server has a known engine.
    assert_eq!(server.tables_of_other_engines().unwrap(), []);
    held.sql(&["DROP DATABASE ni"]);
    held.sql(&["ALTER INSTANCE DISABLE INNODB REDO_LOG"]);
    assert!(!server.redo_enabled().unwrap());
    held.sql(&["ALTER INSTANCE ENABLE INNODB REDO_LOG"]);
    assert!(server.redo_enabled().unwrap());
}

#[test]
fn a_broken_connection_is_reported_as_such() {
    let held = Held::take();
    let mut server = held.server();
    server.lock_instance(SECOND).unwrap();
    held.sql(&[&format!("KILL {}", server.connection_id())]);
    let error = server.log_status().unwrap_err();
    assert!(error.is_gone(), "{error}");
    assert!(
        error.to_string().contains("reading the log positions"),
        "{error}"
    );
    assert!(server.ping().unwrap_err().is_gone());
    // Its lock ended with it.
    held.sql(&["CREATE DATABASE gone", "DROP DATABASE gone"]);
}

#[test]
fn a_query_timeout_closes_the_connection_without_waiting() {
    let held = Held::take();
    let patience = Duration::from_millis(300);
    let impatient = |options: &ConnectOptions| Server::connect_with_limit(options, patience);

    // A server that accepts connections and sends nothing, by socket and by TCP.
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("mute");
    let _mute = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let mute = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let by_tcp = ConnectOptions {
        transport: Transport::Tcp {
            host: "127.0.0.1".into(),
            port: mute.local_addr().unwrap().port(),
        },
        ..held.root()
    };
    for options in [ConnectOptions::for_socket(&socket, "root"), by_tcp] {
        let error = impatient(&options).unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, ServerError::NoServer { .. }), "{text}");
        assert!(text.contains("no answer in time"), "{text}");
    }

    // A long query. It would time out after half a minute.
    let mut first = held.server();
    first.page_tracking_claim().unwrap();
    let mut second = impatient(&held.root()).unwrap();
    let began = std::time::Instant::now();
    let error = second.page_tracking_claim().unwrap_err();
    assert!(began.elapsed() < Duration::from_secs(15));
    assert!(error.is_gone(), "{error}");
    assert!(error.to_string().contains("no answer in time"), "{error}");
}
