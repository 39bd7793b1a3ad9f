//! Chains: see below.

use crate::sandbox::Sandbox;
use mysql::prelude::Queryable;

/// The file and position up to which the source has written its binary log.
pub fn binlog_end(source: &Sandbox) -> (String, u64) {
    let row: mysql::Row = source
        .connect()
        .query_first("SHOW BINARY LOG STATUS")
        .unwrap()
        .unwrap();
    let text = |column| crate::sandbox::text(&row, column);
    (text(0), text(1).parse().unwrap())
}
