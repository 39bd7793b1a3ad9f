//! Write load: threads of transactions on the tables of [`crate::schema`], from a fixed seed (the
//! interleaving depends on the scheduler, the statements of each thread are always the same).

use crate::sandbox::Sandbox;
use crate::schema::Target;
use mysql::Conn;
use mysql::prelude::Queryable;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Numbers of transactions by result.
#[derive(Debug, Default)]
pub struct Counts {
    /// Row changes that succeeded, whatever the result of their transactions.
    pub changes: AtomicU64,
    pub committed: AtomicU64,
    pub rolled_back: AtomicU64,
    /// Deadlocks, lock time-outs, tables that a DDL removed: normal in this load.
    pub lost: AtomicU64,
}

/// A running load. Stopped by [`stop`](Self::stop) or when dropped.
pub struct Load {
    stop: Arc<AtomicBool>,
    pub counts: Arc<Counts>,
    threads: Vec<JoinHandle<()>>,
}

/// splitmix64: small, of sufficient quality, reproducible on every machine.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

impl Load {
    pub fn start(server: &Sandbox, targets: &[Target], threads: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let counts = Arc::new(Counts::default());
        let threads = (0..threads)
            .map(|thread| {
                let conn = server.connect();
                let (targets, stop, counts) = (targets.to_vec(), stop.clone(), counts.clone());
                std::thread::spawn(move || {
                    Worker {
                        conn,
                        targets,
                        counts,
                        rng: Rng(0x15a9 + thread),
                        thread,
                        turn: 0,
                    }
                    .work(&stop);
                })
            })
            .collect();
        let load = Self {
            stop,
            counts,
            threads,
        };
        load.wait_for_progress();
        load
    }

    /// Returns when at least a few more transactions have committed, so the load is running.
    pub fn wait_for_progress(&self) {
        let before = self.committed();
        crate::sandbox::wait_for("the write load to commit", Duration::from_secs(60), || {
            self.committed() >= before + 20
        });
    }

    pub fn committed(&self) -> u64 {
        self.counts.committed.load(Ordering::Relaxed)
    }

    pub fn changes(&self) -> u64 {
        self.counts.changes.load(Ordering::Relaxed)
    }

    /// Stops the threads and waits for them: the source doesn't change afterwards.
    #[track_caller]
    pub fn stop(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().expect("a load thread failed");
        }
        let rolled_back = self.counts.rolled_back.load(Ordering::Relaxed);
        assert!(
            self.committed() > 0 && rolled_back > 0,
            "the load did nothing: {:?}",
            self.counts
        );
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

struct Worker {
    conn: Conn,
    targets: Vec<Target>,
    counts: Arc<Counts>,
    rng: Rng,
    thread: u64,
    turn: u64,
}

impl Worker {
    fn work(&mut self, stop: &AtomicBool) {
        if self
            .conn
            .query_drop("SET SESSION innodb_lock_wait_timeout = 2")
            .is_err()
        {
            return;
        }
        while !stop.load(Ordering::Relaxed) {
            self.turn += 1;
            match self.transaction() {
                Ok(true) => self.counts.committed.fetch_add(1, Ordering::Relaxed),
                Ok(false) => self.counts.rolled_back.fetch_add(1, Ordering::Relaxed),
                Err(error) if expected(&error) => {
                    let _ = self.conn.query_drop("ROLLBACK");
                    self.counts.lost.fetch_add(1, Ordering::Relaxed)
                }
                // The test stopped or killed the server.
                Err(mysql::Error::IoError(_) | mysql::Error::CodecError(_)) => return,
                Err(mysql::Error::MySqlError(error)) if error.code == 1053 => return,
                Err(error) => panic!("write load: {error}"),
            };
        }
    }

    /// Returns true if the transaction committed.
    fn transaction(&mut self) -> mysql::Result<bool> {
        let target = self.pick();
        if !target.transactional {
            self.statement(&target)?;
            return Ok(true);
        }
        match self.rng.below(100) {
            0..4 => self.xa(&target),
            4..20 => {
                self.statement(&target)?;
                Ok(true)
            }
            _ => self.plain(&target),
        }
    }

    fn plain(&mut self, first: &Target) -> mysql::Result<bool> {
        self.conn.query_drop("BEGIN")?;
        self.statement(first)?;
        for _ in 0..self.rng.below(5) {
            let target = self.pick();
            if target.transactional {
                self.statement(&target)?;
            }
        }
        let commit = self.rng.below(8) != 0;
        self.conn
            .query_drop(if commit { "COMMIT" } else { "ROLLBACK" })?;
        Ok(commit)
    }

    fn xa(&mut self, target: &Target) -> mysql::Result<bool> {
        let id = format!("'load-{}-{}'", self.thread, self.turn);
        self.conn.query_drop(format!("XA START {id}"))?;
        if let Err(error) = self.statement(target) {
            let _ = self.conn.query_drop(format!("XA END {id}"));
            self.conn.query_drop(format!("XA ROLLBACK {id}"))?;
            return Err(error);
        }
        self.conn.query_drop(format!("XA END {id}"))?;
        self.conn.query_drop(format!("XA PREPARE {id}"))?;
        let commit = self.rng.below(4) != 0;
        let end = if commit { "COMMIT" } else { "ROLLBACK" };
        self.conn.query_drop(format!("XA {end} {id}"))?;
        Ok(commit)
    }

    fn pick(&mut self) -> Target {
        let index = self.rng.below(self.targets.len() as u64) as usize;
        self.targets[index].clone()
    }

    fn statement(&mut self, target: &Target) -> mysql::Result<()> {
        let sql = self.change(target);
        self.conn.query_drop(sql)?;
        self.counts.changes.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Returns a statement that changes rows of a table.
    fn change(&mut self, target: &Target) -> String {
        let table = &target.table;
        let (k, row, turn) = (self.rng.below(1000), 1 + self.rng.below(400), self.turn);
        let words = "sphinx of black quartz ".repeat(self.rng.below(7) as usize);
        let text = format!("{turn} {words}{k}");
        if !target.keyed {
            let id = self.thread * 1_000_000 + turn;
            return format!("INSERT INTO {table} VALUES ({id}, {k}, '{text}')");
        }
        match self.rng.below(10) {
            0..4 => {
                let rows: Vec<String> = (0..1 + self.rng.below(6))
                    .map(|n| format!("({}, '{n} {text}')", (k + 37 * n) % 1000))
                    .collect();
                format!("INSERT INTO {table} (k, c) VALUES {}", rows.join(","))
            }
            4 => format!("DELETE FROM {table} WHERE id = {row}"),
            5 => format!("DELETE FROM {table} WHERE k = {k} LIMIT 2"),
            6 if target.blob => {
                let big = if self.rng.below(40) == 0 {
                    2000
                } else {
                    self.rng.below(60)
                };
                format!(
                    "UPDATE {table} SET b = CONCAT(REPEAT('{k}', 100), REPEAT(RANDOM_BYTES(1000), {big})) WHERE id = {row}"
                )
            }
            7 => format!("UPDATE {table} SET k = {k} WHERE id = {row}"),
            _ => format!("UPDATE {table} SET c = '{text}' WHERE id BETWEEN {row} AND {row} + 2"),
        }
    }
}

/// Returns whether an error is expected from concurrent work: deadlock, lock time-out, foreign key,
/// a table that a concurrent DDL changed or removed, the XA error for a branch that was rolled
/// back.
fn expected(error: &mysql::Error) -> bool {
    let mysql::Error::MySqlError(error) = error else {
        return false;
    };
    matches!(
        error.code,
        1205 | 1213
            | 1146
            | 1412
            | 1451
            | 1452
            | 1054
            | 1049
            | 1402
            | 1613
            | 1614
            | 1062
            | 1568
            | 3572
            | 1399
    )
}

/// A transaction that stays open during a backup, with enough changes to have reached the disk, and
/// one that stays prepared. Neither is in the backup; both are ended afterwards.
pub struct Open {
    conn: Conn,
    xa: Conn,
    xid: String,
}

impl Open {
    pub fn begin(server: &Sandbox, tag: &str) -> Self {
        let (mut conn, mut xa) = (server.connect(), server.connect());
        for sql in [
            // Rows that are read are not locked, because the load would wait for the locks.
            "SET TRANSACTION ISOLATION LEVEL READ COMMITTED",
            "BEGIN",
            "INSERT INTO shop.longtrx (c, b) SELECT CONCAT('never seen ', k), REPEAT(RANDOM_BYTES(1000), 100) FROM shop.customers LIMIT 60",
            "UPDATE shop.longtrx SET c = 'never seen', b = REPEAT('n', 200000) WHERE id <= 2",
        ] {
            conn.query_drop(sql).unwrap();
        }
        let xid = format!("'open-{tag}'");
        for sql in [
            format!("XA START {xid}"),
            format!("INSERT INTO shop.prepared (c) VALUES ('prepared {tag}')"),
            format!("XA END {xid}"),
            format!("XA PREPARE {xid}"),
        ] {
            xa.query_drop(sql).unwrap();
        }
        Self { conn, xa, xid }
    }

    /// Rolls back the open transaction and ends the prepared one.
    pub fn settle(mut self, commit_prepared: bool) {
        self.conn.query_drop("ROLLBACK").unwrap();
        let end = if commit_prepared {
            "COMMIT"
        } else {
            "ROLLBACK"
        };
        self.xa
            .query_drop(format!("XA {end} {}", self.xid))
            .unwrap();
    }
}
