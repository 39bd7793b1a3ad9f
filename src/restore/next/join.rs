//! The statements that make a restored server a replica: of the server that was backed up, or of the
//! sources of that server.
//!
//! A value that a backup doesn't have is a placeholder in angle brackets without quotes. A server
//! refuses a statement with one, so a forgotten placeholder changes nothing.

use super::super::ApplierKind;
use super::super::version::Release;
use crate::manifest::{Manifest, ServerSettings, SourcePosition};
use crate::server::quoted;
use serde::Serialize;

/// A server whose replica the restored server can become.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum JoinSource {
    /// The server that was backed up.
    BackedUpServer,
    /// The sources of the server that was backed up, which was a replica itself.
    SourcesOfServer,
}

/// How a replica continues at the position of its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum JoinMethod {
    /// By its GTIDs.
    Gtid,
    /// By file and position in the binary log of the source.
    Position,
    /// By GTIDs for some channels, by position for others.
    Mixed,
}

/// One way to make the restored server a replica.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Join {
    /// The source.
    pub source: JoinSource,
    /// The address of the source, or one for each channel: `host:port`, as far as it is known.
    pub addresses: Vec<String>,
    /// How the replica continues.
    pub method: JoinMethod,
    /// The statements, in this order; empty if it is not possible.
    pub statements: Vec<String>,
    /// The placeholders in the statements.
    pub placeholders: Vec<String>,
    /// The reason why it is not possible.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub impossible: Option<String>,
}

const PLACEHOLDERS: [&str; 5] = ["<server_id>", "<host>", "<port>", "<user>", "<password>"];

/// Returns all ways.
pub(super) fn ways(newest: &Manifest, applier: ApplierKind) -> Vec<Join> {
    let mut ways = of_server(newest, applier);
    if newest.replica.is_some() {
        ways.push(of_sources(newest, applier));
    }
    ways
}

fn of_server(newest: &Manifest, applier: ApplierKind) -> Vec<Join> {
    let settings = newest.server.settings.as_ref();
    let host = settings.and_then(|s| s.report_host.as_deref());
    let host = host.unwrap_or(&newest.server.hostname);
    let port = settings.map_or(0, |s| s.port);
    let way = |method, statements: Result<Vec<String>, String>| {
        Join::of(
            JoinSource::BackedUpServer,
            vec![address(host, port)],
            method,
            statements,
        )
    };
    let by_gtid = || {
        let connect = change(host, port, "SOURCE_AUTO_POSITION=1", "");
        way(
            JoinMethod::Gtid,
            Ok(all(newest, gtids(newest, applier), vec![connect])),
        )
    };
    let Some(binlog) = &newest.binlog else {
        return vec![way(
            JoinMethod::Position,
            Err("it writes no binary log (log_bin=OFF)".to_owned()),
        )];
    };
    let relays = |s: &ServerSettings| s.log_replica_updates;
    if newest.replica.is_some() && !settings.is_none_or(relays) {
        return vec![way(
            JoinMethod::Position,
            Err(
                "it is a replica that doesn't write the transactions of its source to its binary log \
                 (log_replica_updates=OFF)"
                    .to_owned(),
            ),
        )];
    }
    let by_position = || {
        let at = position(&binlog.file, binlog.position);
        let connect = change(host, port, &at, "");
        way(
            JoinMethod::Position,
            Ok(all(newest, Vec::new(), vec![connect])),
        )
    };
    match settings.map(|s| s.gtid_mode.as_str()) {
        Some("ON") => vec![by_gtid()],
        Some(_) => vec![by_position()],
        None if binlog.gtid_executed.is_empty() => vec![by_position()],
        // An earlier version of lsnap didn't record gtid_mode.
        None => vec![by_gtid(), by_position()],
    }
}

fn of_sources(newest: &Manifest, applier: ApplierKind) -> Join {
    let channels: &[SourcePosition] = newest.replica.as_ref().map_or(&[], |r| &r.channels);
    let addresses = channels.iter().map(|c| address(&c.host, c.port)).collect();
    let gtid = channels.iter().filter(|c| c.auto_position).count();
    let method = match gtid {
        0 => JoinMethod::Position,
        all if all == channels.len() => JoinMethod::Gtid,
        _ => JoinMethod::Mixed,
    };
    let connect = channels.iter().map(|channel| {
        let at = match (&channel.file, channel.position) {
            _ if channel.auto_position => "SOURCE_AUTO_POSITION=1".to_owned(),
            (Some(file), Some(offset)) => position(file, offset),
            _ => {
                let why = channel.unknown.as_deref().unwrap_or("it was not recorded");
                return Err(format!(
                    "the position of the data in the binary log of {} is not known: {why}",
                    address(&channel.host, channel.port)
                ));
            }
        };
        Ok(change(&channel.host, channel.port, &at, &channel.channel))
    });
    let first = if gtid > 0 {
        gtids(newest, applier)
    } else {
        Vec::new()
    };
    let connect: Result<Vec<String>, String> = connect.collect();
    let statements = connect.map(|connect| all(newest, first, connect));
    Join::of(JoinSource::SourcesOfServer, addresses, method, statements)
}

impl Join {
    fn of(
        source: JoinSource,
        addresses: Vec<String>,
        method: JoinMethod,
        statements: Result<Vec<String>, String>,
    ) -> Self {
        let (statements, impossible) = match statements {
            Ok(statements) => (statements, None),
            Err(why) => (Vec::new(), Some(why)),
        };
        // Quoted text can contain anything, but not as a value of its own.
        let has = |name: &&str| statements.iter().any(|s| s.contains(&format!("={name}")));
        let placeholders = PLACEHOLDERS.iter().filter(|name| has(name));
        Self {
            source,
            addresses,
            method,
            placeholders: placeholders.map(|name| (*name).to_owned()).collect(),
            statements,
            impossible,
        }
    }
}

/// Returns all statements: those for the identity, `gtids`, `connect`, and the start.
fn all(newest: &Manifest, gtids: Vec<String>, connect: Vec<String>) -> Vec<String> {
    let mut statements = vec!["SET PERSIST server_id=<server_id>;".to_owned()];
    // The tables of a replica have its channels. Whether the server was one is not known of
    // earlier versions of lsnap.
    if newest.replica.is_some() || newest.server.settings.is_none() {
        statements.push("STOP REPLICA;".to_owned());
        statements.push("RESET REPLICA ALL;".to_owned());
    }
    statements.extend(gtids);
    statements.extend(connect);
    statements.push("START REPLICA;".to_owned());
    statements
}

/// Returns the statements that set the GTIDs of the data, if the tables may lack some.
fn gtids(newest: &Manifest, applier: ApplierKind) -> Vec<String> {
    let exact = newest
        .replica
        .as_ref()
        .is_none_or(|r| r.gtid_executed_is_exact);
    let set = newest
        .binlog
        .as_ref()
        .map(|binlog| binlog.gtid_executed.as_str());
    let set = set.filter(|set| exact && !set.is_empty());
    let (ApplierKind::Xtrabackup, Some(set)) = (applier, set) else {
        return Vec::new();
    };
    let set: String = set.split_whitespace().collect();
    let release = Release::parse(&newest.server.version);
    let new_words = release.is_none_or(|r| (r.major, r.minor) >= (8, 2));
    let reset = if new_words {
        "RESET BINARY LOGS AND GTIDS;"
    } else {
        "RESET MASTER;"
    };
    vec![
        reset.to_owned(),
        format!("SET GLOBAL gtid_purged={};", quoted(&set)),
    ]
}

fn position(file: &str, offset: u64) -> String {
    format!("SOURCE_LOG_FILE={}, SOURCE_LOG_POS={offset}", quoted(file))
}

fn change(host: &str, port: u16, at: &str, channel: &str) -> String {
    let host = if host.is_empty() {
        "<host>".to_owned()
    } else {
        quoted(host)
    };
    let port = if port == 0 {
        "<port>".to_owned()
    } else {
        port.to_string()
    };
    let channel = match channel {
        "" => String::new(),
        name => format!(" FOR CHANNEL {}", quoted(name)),
    };
    format!(
        "CHANGE REPLICATION SOURCE TO SOURCE_HOST={host}, SOURCE_PORT={port}, SOURCE_USER=<user>, \
         SOURCE_PASSWORD=<password>, SOURCE_SSL=1, {at}{channel};"
    )
}

fn address(host: &str, port: u16) -> String {
    let host = if host.is_empty() { "<host>" } else { host };
    match port {
        0 => format!("{host}:<port>"),
        port => format!("{host}:{port}"),
    }
}

#[cfg(test)]
#[path = "join_tests.rs"]
mod tests;
