//! A repository that is unreachable for a while: the tables of the server are not locked meanwhile.

use crate::lsnap;
use crate::proxy::Proxy;
use crate::sandbox::Sandbox;
use crate::servers::Server;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const AWAY: Duration = Duration::from_secs(8);

fn command(store: &Server, proxy: &Proxy, verb: &[&str]) -> Command {
    let mut command = lsnap::command();
    command
        .args(verb)
        .args([
            "--endpoint",
            &format!("http://127.0.0.1:{}", proxy.port),
            "--allow-http",
        ])
        .envs(store.env());
    command
}

/// Two backups: the store becomes unreachable when the first file of a locked table arrives, and
/// when the redo arrives.
#[test]
fn tables_are_not_locked_while_the_repository_is_unreachable() {
    let server = Sandbox::start("e2e-outages", &[&[]]);
    server.run("CREATE DATABASE d");
    for n in 0..20 {
        server.run(&format!("CREATE TABLE d.m{n} (a INT) ENGINE = MyISAM"));
        server.run(&format!("INSERT INTO d.m{n} VALUES ({n})"));
    }
    let store = Server::start_plain_s3();
    let proxy = Proxy::before(store.port());
    let url = store.url("p");
    for first in [".MYD.", "xtrabackup_logfile"] {
        proxy.plan(&[]);
        let done = AtomicBool::new(false);
        let said = std::thread::scope(|scope| {
            let (proxy, done) = (&proxy, &done);
            scope.spawn(move || {
                let came = |text: &String| text.starts_with("PUT") && text.contains(first);
                while !proxy.heads().iter().any(came) {
                    if done.load(Ordering::Acquire) {
                        return;
                    }
                    std::thread::sleep(Duration::from_millis(1));
                }
                proxy.away(true);
                std::thread::sleep(AWAY);
                proxy.away(false);
            });
            let mut backup = command(&store, proxy, &["backup", "--json", "--no-defaults"]);
            backup.args(["--user", "root", "--socket", &server.socket()]);
            backup.args(["--to", &url, "--uploads", "1", "--max-backoff", "200"]);
            let said = lsnap::said(backup.output().unwrap());
            done.store(true, Ordering::Release);
            said
        });
        assert!(
            said.stderr.contains("is available again after"),
            "{first}: the store was not away: {}",
            said.stderr
        );
        let member = said.member();
        let locked = member.json["tables_locked_seconds"].as_f64().unwrap();
        assert!(
            locked > 0.0 && locked < 6.0,
            "{first}: locked for {locked} s"
        );
        let args = ["verify", &member.name, "--data", "--from", &url];
        lsnap::said(command(&store, &proxy, &args).output().unwrap()).ok();
    }
}
