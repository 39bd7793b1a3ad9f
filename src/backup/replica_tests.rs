//! Tests of the position with every kind of channel.

use super::*;

fn at(file: &str, position: u64) -> SourcePoint {
    SourcePoint {
        file: file.into(),
        position,
    }
}

fn channel(name: &str, auto_position: bool) -> Channel {
    Channel {
        name: name.into(),
        host: "source".into(),
        port: 3306,
        auto_position,
        applier_runs: true,
        reported: Some(at("binlog.000007", 900)),
        recorded: Some(Recorded {
            low: at("binlog.000007", 197),
            workers: Vec::new(),
            assigns_gtids: false,
        }),
    }
}

fn replica(channels: Vec<Channel>) -> Replica {
    Replica {
        channels,
        gtid_mode_on: false,
        preserves_order: true,
        logs_updates: true,
        tables_denied: false,
    }
}

fn position(before: &Replica, after: &Replica) -> ReplicaPosition {
    let gtid_executed = "u:1-5";
    let moment = Moment {
        before,
        after,
        gtid_executed,
    };
    moment.position().unwrap()
}

/// Returns the position of the only channel, or why it is unknown.
fn found(before: &Replica, after: &Replica) -> Result<SourcePoint, String> {
    let mut found = position(before, after);
    let channel = found.channels.remove(0);
    match (channel.file, channel.position, channel.unknown) {
        (Some(file), Some(position), None) => Ok(SourcePoint { file, position }),
        (None, None, Some(why)) => Err(why),
        other => panic!("{other:?}"),
    }
}

fn with(change: impl Fn(&mut Channel)) -> Replica {
    let mut one = channel("", false);
    change(&mut one);
    replica(vec![one])
}

fn workers(one: &mut Channel, ends: &[u64]) {
    let recorded = one.recorded.as_mut().unwrap();
    recorded.workers = ends.iter().map(|e| at("binlog.000007", *e)).collect();
}

#[test]
fn gtid_purged_is_set_once_for_all_channels() {
    let all = replica(vec![channel("", true), channel("o'ne", true)]);
    let text = statements(&position(&all, &all)).unwrap();
    assert_eq!(
        text,
        "SET GLOBAL gtid_purged='u:1-5';\n\
         CHANGE REPLICATION SOURCE TO SOURCE_AUTO_POSITION=1;\n\
         CHANGE REPLICATION SOURCE TO SOURCE_AUTO_POSITION=1 FOR CHANNEL 'o''ne';\n"
    );
}

#[test]
fn an_inexact_gtid_set_is_not_written_as_purged() {
    let mut all = replica(vec![channel("", true)]);
    all.logs_updates = false;
    let running = position(&all, &all);
    assert!(!running.gtid_executed_is_exact);
    assert_eq!(
        statements(&running).unwrap(),
        "CHANGE REPLICATION SOURCE TO SOURCE_AUTO_POSITION=1;\n"
    );
    all.channels[0].applier_runs = false;
    assert!(position(&all, &all).gtid_executed_is_exact);
}

#[test]
fn unchanged_tables_give_an_exact_position() {
    let still = with(|_| {});
    assert_eq!(found(&still, &still), Ok(at("binlog.000007", 197)));
    assert_eq!(
        statements(&position(&still, &still)).unwrap(),
        "CHANGE REPLICATION SOURCE TO SOURCE_LOG_FILE='binlog.000007', SOURCE_LOG_POS=197;\n"
    );
    let moved = with(|c| c.recorded.as_mut().unwrap().low.position += 1);
    let why = found(&still, &moved).unwrap_err();
    assert!(why.contains("BackupOptions::stop_applier"), "{why}");
    assert_eq!(statements(&position(&still, &moved)), None);
}

#[test]
fn the_most_advanced_worker_is_the_position_if_the_order_is_preserved() {
    let ahead = with(|c| workers(c, &[150, 400, 300]));
    assert_eq!(found(&ahead, &ahead), Ok(at("binlog.000007", 400)));
    let next_file = with(|c| {
        workers(c, &[400]);
        let recorded = c.recorded.as_mut().unwrap();
        recorded.workers.push(at("binlog.000008", 4));
    });
    assert_eq!(found(&next_file, &next_file), Ok(at("binlog.000008", 4)));
    let mut unordered = ahead.clone();
    unordered.preserves_order = false;
    let why = found(&unordered, &unordered).unwrap_err();
    assert!(why.contains("out of order"), "{why}");
    let behind = with(|c| workers(c, &[150, 197]));
    let mut unordered = behind;
    unordered.preserves_order = false;
    assert_eq!(found(&unordered, &unordered), Ok(at("binlog.000007", 197)));
}

#[test]
fn a_worker_that_moves_makes_the_position_unknown() {
    let (before, after) = (with(|c| workers(c, &[400])), with(|c| workers(c, &[401])));
    assert!(found(&before, &after).is_err());
}

#[test]
fn an_interrupted_applier_has_gaps() {
    let crashed = with(|c| {
        c.applier_runs = false;
        workers(c, &[400]);
    });
    let why = found(&crashed, &crashed).unwrap_err();
    assert!(why.contains("START REPLICA"), "{why}");
}

#[test]
fn binary_logs_of_different_base_names_are_not_compared() {
    let renamed = with(|c| {
        let recorded = c.recorded.as_mut().unwrap();
        recorded.workers.push(at("other.000008", 4));
    });
    let why = found(&renamed, &renamed).unwrap_err();
    assert!(why.contains("other.000008"), "{why}");
}

#[test]
fn with_gtids_the_low_water_mark_before_is_the_position() {
    let mut before = with(|c| workers(c, &[400]));
    let mut after = with(|c| c.recorded.as_mut().unwrap().low.position = 9000);
    assert!(must_settle(&before));
    (before.gtid_mode_on, after.gtid_mode_on) = (true, true);
    before.preserves_order = false;
    assert!(!must_settle(&before));
    assert_eq!(found(&before, &after), Ok(at("binlog.000007", 197)));
    // Transactions that get a GTID of this server can't be recognised again.
    let recorded = before.channels[0].recorded.as_mut().unwrap();
    recorded.assigns_gtids = true;
    assert!(must_settle(&before));
    assert!(found(&before, &after).is_err());
}

#[test]
fn without_the_tables_only_a_stopped_applier_has_a_position() {
    let mut denied = with(|c| c.recorded = None);
    denied.tables_denied = true;
    let why = found(&denied, &denied).unwrap_err();
    assert!(why.contains("mysql.slave_relay_log_info"), "{why}");
    denied.channels[0].applier_runs = false;
    assert_eq!(found(&denied, &denied), Ok(at("binlog.000007", 900)));
    denied.preserves_order = false;
    assert!(found(&denied, &denied).is_err());
    denied.preserves_order = true;
    denied.channels[0].reported = None;
    let why = found(&denied, &denied).unwrap_err();
    assert!(why.contains("no transaction of its source"), "{why}");
}

#[test]
fn a_channel_that_is_removed_during_the_read_is_unknown() {
    let before = with(|_| {});
    assert!(found(&before, &replica(Vec::new())).is_err());
}

#[test]
fn a_server_without_channels_has_no_position() {
    let none = replica(Vec::new());
    let moment = Moment {
        before: &none,
        after: &none,
        gtid_executed: "u:1",
    };
    assert_eq!(moment.position(), None);
}
