//! A server's global variables, its `init_connect` and the requirements of its accounts don't
//! affect lsnap's sessions.

use crate::lsnap::{self, Said};
use crate::sandbox::{SOURCE, Sandbox, run, scratch, value};
use ::lsnap::server::{ConnectOptions, Password, Server, ServerError, SslMode};
use mysql::Conn;
use std::collections::BTreeMap;
use std::path::Path;

/// Legal settings that change the results of a session that inherits them.
const HOSTILE: &[(&str, &str)] = &[
    ("sql_select_limit", "3"),
    ("max_join_size", "1"),
    (
        "sql_mode",
        "'ANSI_QUOTES,PAD_CHAR_TO_FULL_LENGTH,NO_BACKSLASH_ESCAPES,PIPES_AS_CONCAT,IGNORE_SPACE'",
    ),
    ("autocommit", "0"),
    ("completion_type", "2"),
    ("transaction_isolation", "'SERIALIZABLE'"),
    ("transaction_read_only", "1"),
    ("time_zone", "'-11:00'"),
    ("max_execution_time", "1"),
    ("group_concat_max_len", "4"),
    ("sql_quote_show_create", "0"),
    ("default_week_format", "7"),
    ("div_precision_increment", "0"),
    ("lc_time_names", "'de_DE'"),
    ("lock_wait_timeout", "1"),
    ("innodb_lock_wait_timeout", "1"),
    ("net_read_timeout", "1"),
    ("net_write_timeout", "1"),
    ("wait_timeout", "1"),
    ("information_schema_stats_expiry", "0"),
    ("show_gipk_in_create_table_and_information_schema", "0"),
    ("terminology_use_previous", "'BEFORE_8_0_26'"),
    ("optimizer_switch", "'block_nested_loop=off,semijoin=off'"),
];

/// The statements that `init_connect` runs first in a session of an account without
/// `CONNECTION_ADMIN`.
const INIT_CONNECT: &str = "SET NAMES latin1; SET sql_select_limit = 1; SET sql_safe_updates = 1; SET sql_big_selects = 0; \
    SET sql_auto_is_null = 1; SET timestamp = 1; USE shop; SET @x = 1; DO GET_LOCK('lsnap.page_tracking', 0); \
    START TRANSACTION; SELECT 1; FLUSH TABLES WITH READ LOCK";

fn as_user(server: &Sandbox, user: &str) -> ConnectOptions {
    ConnectOptions {
        password: Some(Password::new("pw")),
        ..ConnectOptions::for_socket(server.socket(), user)
    }
}

/// Returns every list and text that lsnap reads from a server, except values that change by
/// themselves.
fn all_answers(options: &ConnectOptions) -> BTreeMap<&'static str, String> {
    let mut s = Server::connect(options).unwrap();
    let mut out = BTreeMap::new();
    let mut add = |name, text: String| out.insert(name, text);
    s.check_privileges().unwrap();
    add("identity", format!("{:#?}", s.identity().unwrap()));
    add("variables", format!("{:#?}", s.variables().unwrap()));
    add("tablespaces", format!("{:#?}", s.tablespaces().unwrap()));
    add("other engines", format!("{:?}", s.has_non_innodb_tables()));
    add("replica", format!("{:?}", s.replica().unwrap()));
    add("redo", format!("{:?}", s.redo_enabled().unwrap()));
    add("gtids", format!("{:?}", s.gtid_executed().unwrap()));
    add(
        "basename",
        format!("{:?}", s.binary_log_basename().unwrap()),
    );
    add("started", format!("{:?}", s.started_at().unwrap()));
    let status = s.log_status().unwrap();
    add("binlog", format!("{:?}", status.binlog));
    s.lock_instance(std::time::Duration::from_secs(5)).unwrap();
    s.check_session().unwrap();
    // This takes the lock of this name, which a session of init_connect must not have.
    s.page_tracking_claim().unwrap();
    out
}

fn backup(server: &Sandbox, room: &Path, name: &str) -> lsnap::Said {
    let password = room.join("password");
    std::fs::write(&password, "pw\n").unwrap();
    let to = room.join(name);
    std::fs::create_dir(&to).unwrap();
    let mut command = lsnap::command();
    command
        .args(["backup", "--json", "--no-defaults", "--user", "bk"])
        .args(["--socket", &server.socket(), "--to", &lsnap::url(&to)])
        .arg("--password-file")
        .arg(&password)
        .args(["--page-tracking=off", "--lock-timeout=20"]);
    lsnap::said(command.output().unwrap())
}

/// Returns the paths of a backup.
fn paths(repository: &Path, said: Said) -> Vec<String> {
    let manifest = lsnap::manifest(repository, &said.member().name);
    let files = manifest["files"].as_array().unwrap().iter();
    let mut paths: Vec<_> = files.map(|f| f["path"].to_string()).collect();
    paths.sort();
    // binary logs differ each time
    paths.retain(|p| !p.contains("binlog"));
    paths
}

fn schema(conn: &mut Conn) {
    run(conn, "CREATE DATABASE shop");
    for i in 0..12 {
        run(conn, &format!("CREATE TABLE shop.`Ta\"ble {i}` (id INT)"));
    }
    run(conn, "CREATE TABLE shop.old (a CHAR(9)) ENGINE=MyISAM");
    run(conn, "CREATE USER bk@localhost IDENTIFIED BY 'pw'");
    run(
        conn,
        "GRANT BACKUP_ADMIN, PROCESS, RELOAD, REPLICATION CLIENT, SHOW VIEW ON *.* TO bk@localhost",
    );
    run(conn, "GRANT SELECT ON performance_schema.* TO bk@localhost");
}

#[test]
fn sessions_do_not_depend_on_server_settings() {
    let room = scratch();
    let server = Sandbox::start("e2e-session", &[SOURCE]);
    let mut conn = server.connect();
    schema(&mut conn);

    let root = ConnectOptions::for_socket(server.socket(), "root");
    let accounts = [root, as_user(&server, "bk")];
    let usual = accounts.clone().map(|account| all_answers(&account));
    let whole = paths(
        &room.path().join("usual"),
        backup(&server, room.path(), "usual"),
    );

    for (name, setting) in HOSTILE {
        run(&mut conn, &format!("SET GLOBAL {name} = {setting}"));
    }
    run(
        &mut conn,
        &format!("SET GLOBAL init_connect = \"{INIT_CONNECT}\""),
    );
    for (account, usual) in accounts.iter().zip(&usual) {
        let mut now = all_answers(account);
        let mut usual = usual.clone();
        // The backup began a new file.
        now.remove("binlog");
        usual.remove("binlog");
        assert_eq!(now, usual, "{}", account.user);
    }
    let said = backup(&server, room.path(), "hostile");
    assert_eq!(paths(&room.path().join("hostile"), said), whole);

    // Sessions that can't begin also give a reason.
    run(
        &mut conn,
        "SET GLOBAL init_connect = 'SELECT * FROM no.where'",
    );
    backup(&server, room.path(), "broken").refused(1, &["init_connect", "CONNECTION_ADMIN"]);

    secured_sockets(&server, &mut conn);
}

/// Accounts that require TLS, or another authentication than a password, over the socket.
fn secured_sockets(server: &Sandbox, conn: &mut Conn) {
    run(conn, "SET GLOBAL init_connect = ''");
    run(
        conn,
        "CREATE USER tls@localhost IDENTIFIED BY 'pw' REQUIRE SSL",
    );
    run(
        conn,
        "CREATE USER cert@localhost IDENTIFIED BY 'pw' REQUIRE X509",
    );
    let with = |user: &str, ssl_mode, ca: Option<&str>| ConnectOptions {
        ssl_mode,
        ssl_ca: ca.map(|ca| server.datadir().join(ca)),
        ..as_user(server, user)
    };
    let error = Server::connect(&with("tls", SslMode::Preferred, None)).unwrap_err();
    assert!(matches!(error, ServerError::AccessDenied { .. }), "{error}");
    assert!(error.to_string().contains("ssl-mode=REQUIRED"), "{error}");
    Server::connect(&with("tls", SslMode::Required, None)).unwrap();
    Server::connect(&with("tls", SslMode::VerifyCa, Some("ca.pem"))).unwrap();
    // A certificate that signed nothing here.
    let foreign = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/tls/own-ca.pem");
    for (mode, ca) in [
        (SslMode::VerifyCa, foreign.to_str().unwrap()),
        (SslMode::VerifyIdentity, "ca.pem"),
    ] {
        let error = Server::connect(&with("tls", mode, Some(ca))).unwrap_err();
        assert!(
            matches!(error, ServerError::Tls { .. }),
            "{mode:?}: {error}"
        );
    }
    let by_certificate = ConnectOptions {
        ssl_cert: Some(server.datadir().join("client-cert.pem")),
        ssl_key: Some(server.datadir().join("client-key.pem")),
        ..with("cert", SslMode::Required, None)
    };
    Server::connect(&by_certificate).unwrap();

    // The setup of packages for root.
    run(conn, "INSTALL PLUGIN auth_socket SONAME 'auth_socket.so'");
    let me = rustix::process::getuid();
    assert_eq!(value(conn, "SELECT 1"), "1");
    if me.is_root() {
        run(
            conn,
            "CREATE USER sock@localhost IDENTIFIED WITH auth_socket AS 'root'",
        );
        Server::connect(&ConnectOptions::for_socket(server.socket(), "sock")).unwrap();
    }
}
