//! Tests of the statements for replicas. `tests/e2e/next_steps.rs` runs them on servers.

use super::*;
use crate::manifest::{Binlog, ReplicaPosition};
use crate::reader::fixture::{World, system};

fn manifest(change: impl FnOnce(&mut Manifest)) -> Manifest {
    let mut world = World::new();
    world.backup(&system());
    let mut manifest = world.chain.remove(0);
    manifest.server.hostname = "db1".to_owned();
    manifest.server.version = "9.7.4".to_owned();
    manifest.server.settings = Some(ServerSettings {
        report_host: None,
        port: 3306,
        server_id: 1,
        gtid_mode: "ON".to_owned(),
        log_replica_updates: true,
        binary_log_directory: None,
        redo_directory: None,
    });
    manifest.binlog = Some(Binlog {
        file: "binlog.000003".to_owned(),
        position: 198,
        gtid_executed: "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5,\n\
                        4e11fa47-71ca-11e1-9e33-c80aa9429562:1"
            .to_owned(),
    });
    change(&mut manifest);
    manifest
}

fn ways_of(change: impl FnOnce(&mut Manifest)) -> Vec<Join> {
    ways(&manifest(change), ApplierKind::Mysqld)
}

fn settings(manifest: &mut Manifest) -> &mut ServerSettings {
    manifest.server.settings.as_mut().unwrap()
}

fn replica(manifest: &mut Manifest, channels: &[SourcePosition]) {
    manifest.replica = Some(ReplicaPosition {
        gtid_executed: String::new(),
        gtid_executed_is_exact: true,
        channels: channels.to_vec(),
    });
}

fn channel(name: &str, file: Option<&str>) -> SourcePosition {
    SourcePosition {
        channel: name.to_owned(),
        host: "top".to_owned(),
        port: 3310,
        auto_position: false,
        file: file.map(str::to_owned),
        position: file.map(|_| 4),
        unknown: None,
    }
}

const CONNECT: &str = "CHANGE REPLICATION SOURCE TO SOURCE_HOST='db1', SOURCE_PORT=3306, SOURCE_USER=<user>, \
                       SOURCE_PASSWORD=<password>, SOURCE_SSL=1, ";

#[test]
fn a_source_is_joined_by_gtid_or_by_position() {
    let ways = ways_of(|_| {});
    assert_eq!(ways.len(), 1);
    assert_eq!(
        ways[0].statements,
        [
            "SET PERSIST server_id=<server_id>;".to_owned(),
            format!("{CONNECT}SOURCE_AUTO_POSITION=1;"),
            "START REPLICA;".to_owned()
        ]
    );
    assert_eq!(
        ways[0].placeholders,
        ["<server_id>", "<user>", "<password>"]
    );
    assert_eq!(ways[0].addresses, ["db1:3306"]);
    for mode in ["OFF", "ON_PERMISSIVE"] {
        let ways = ways_of(|m| settings(m).gtid_mode = mode.to_owned());
        let position = "SOURCE_LOG_FILE='binlog.000003', SOURCE_LOG_POS=198;";
        assert_eq!(ways.len(), 1);
        assert_eq!(ways[0].statements[1], format!("{CONNECT}{position}"));
    }
    let none = ways_of(|m| m.binlog = None);
    assert!(none[0].statements.is_empty() && none[0].impossible.is_some());
}

#[test]
fn unknown_values_are_placeholders() {
    let ways = ways_of(|m| {
        m.server.settings = None;
        m.server.hostname = String::new();
    });
    let methods: Vec<JoinMethod> = ways.iter().map(|way| way.method).collect();
    assert_eq!(methods, [JoinMethod::Gtid, JoinMethod::Position]);
    for way in &ways {
        assert_eq!(way.placeholders.len(), 5, "{way:?}");
        assert_eq!(way.addresses, ["<host>:<port>"]);
        assert_eq!(way.statements[2], "RESET REPLICA ALL;");
    }
    let ways = ways_of(|m| settings(m).report_host = Some("it's".to_owned()));
    assert!(ways[0].statements[1].contains("SOURCE_HOST='it''s',"));
}

#[test]
fn a_replica_is_joined_itself_or_its_sources() {
    let ways = ways_of(|m| {
        settings(m).gtid_mode = "OFF".to_owned();
        replica(m, &[channel("", Some("b.1")), channel("it's", Some("b.2"))]);
    });
    assert_eq!(ways.len(), 2);
    let own = &ways[1].statements;
    assert_eq!(ways[1].addresses, ["top:3310", "top:3310"]);
    assert!(
        own[3].ends_with("SOURCE_LOG_FILE='b.1', SOURCE_LOG_POS=4;"),
        "{own:?}"
    );
    assert!(
        own[4].ends_with("SOURCE_LOG_POS=4 FOR CHANNEL 'it''s';"),
        "{own:?}"
    );
    assert_eq!(own[1..3], ["STOP REPLICA;", "RESET REPLICA ALL;"]);

    // A channel without a position; a replica that is no source.
    let ways = ways_of(|m| {
        settings(m).log_replica_updates = false;
        replica(m, &[channel("", Some("b.1")), channel("x", None)]);
    });
    for way in ways {
        assert!(
            way.statements.is_empty() && way.impossible.is_some(),
            "{way:?}"
        );
    }
}

#[test]
fn gtids_are_set_only_if_the_tables_may_lack_some() {
    let by = |version: &str, exact| {
        let manifest = manifest(|m| {
            m.server.version = version.to_owned();
            replica(m, &[]);
            m.replica.as_mut().unwrap().gtid_executed_is_exact = exact;
        });
        gtids(&manifest, ApplierKind::Xtrabackup)
    };
    let purged = "SET GLOBAL gtid_purged='3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5,\
                  4e11fa47-71ca-11e1-9e33-c80aa9429562:1';";
    assert_eq!(by("8.4.6", true), ["RESET BINARY LOGS AND GTIDS;", purged]);
    assert_eq!(by("8.0.43", true), ["RESET MASTER;", purged]);
    assert!(by("8.4.6", false).is_empty());
    assert!(gtids(&manifest(|_| {}), ApplierKind::Mysqld).is_empty());
}
