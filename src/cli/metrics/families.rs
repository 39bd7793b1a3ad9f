//! The table of all metrics: the only place that has their names. `docs/reference/metrics.md` is generated from it.

use std::fmt;

/// The type of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Gauge,
    Counter,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gauge => "gauge",
            Self::Counter => "counter",
        })
    }
}

/// The part of a run that sets a metric, which is a section of the reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Group {
    Run,
    Success,
    Backup,
    Prune,
    Verify,
    Repository,
}

/// A metric.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Family {
    pub(super) group: Group,
    pub(super) kind: Kind,
    pub(super) name: &'static str,
    /// A label without a value is left out.
    pub(super) labels: &'static [&'static str],
    pub(super) help: &'static str,
}

macro_rules! families {
    ($($id:ident: $group:ident $kind:ident $name:literal $labels:expr, $help:literal;)*) => {
        $(pub(super) static $id: Family = Family {
            group: Group::$group,
            kind: Kind::$kind,
            name: $name,
            labels: &$labels,
            help: $help,
        };)*
        /// All metrics, in the order of the file.
        pub(super) static FAMILIES: &[&Family] = &[$(&$id),*];
    };
}

families! {
    BUILD: Run Gauge "lsnap_build_info" ["version"],
        "Version of lsnap that wrote the file last.";
    RUN_END: Run Gauge "lsnap_run_end_timestamp_seconds" ["command", "repository", "cluster", "level"],
        "End of the last run, successful or not.";
    RUN_DURATION: Run Gauge "lsnap_run_duration_seconds" ["command", "repository", "cluster", "level"],
        "Duration of the last run.";
    RUN_SUCCESS: Run Gauge "lsnap_run_success" ["command", "repository", "cluster", "level"],
        "1 if the last run succeeded, else 0.";
    RUN_EXIT_CODE: Run Gauge "lsnap_run_exit_code" ["command", "repository", "cluster", "level"],
        "Exit code of the last run.";
    RUNS: Run Counter "lsnap_runs_total" ["command", "repository", "cluster", "level", "result"],
        "Runs by result: success or failure.";
    DAMAGE: Run Gauge "lsnap_last_damage_timestamp_seconds" ["command", "repository", "cluster", "level"],
        "End of the last run that found damage (exit code 13). A later success doesn't change it.";
    SUCCESS: Success Gauge "lsnap_last_success_timestamp_seconds" ["command", "repository", "cluster", "level", "type"],
        "End of the last successful run, of a backup by its type: full or incremental.";
    BACKUP_DURATION: Backup Gauge "lsnap_backup_duration_seconds" ["repository", "cluster", "type"],
        "Time from the start of the backup to its manifest.";
    BACKUP_DATA: Backup Gauge "lsnap_backup_tablespaces_bytes" ["repository", "cluster", "type"],
        "Size of the tablespace files of the server.";
    BACKUP_READ: Backup Gauge "lsnap_backup_read_bytes" ["repository", "cluster", "type"],
        "Bytes of the pages that were read: pages times the page size of the server.";
    BACKUP_STORED: Backup Gauge "lsnap_backup_stored_bytes" ["repository", "cluster", "type"],
        "Bytes of the objects of the backup.";
    BACKUP_PAGES: Backup Gauge "lsnap_backup_pages" ["repository", "cluster", "type"],
        "Pages that were read.";
    BACKUP_LOCKED: Backup Gauge "lsnap_backup_tables_locked_seconds" ["repository", "cluster", "type"],
        "Time for which tables were locked.";
    BACKUP_TRACKED: Backup Gauge "lsnap_backup_page_tracking_used" ["repository", "cluster", "type"],
        "1 if page tracking of the server found the changed pages, 0 if all pages were scanned.";
    BACKUP_WARNINGS: Backup Gauge "lsnap_backup_warnings" ["repository", "cluster", "type"],
        "Warnings in the report of the backup.";
    BACKUP_MISSING: Backup Gauge "lsnap_backup_missing_tablespaces" ["repository", "cluster", "type"],
        "Tablespaces of the server that the backup lacks (--allow-missing-tables).";
    PRUNED: Prune Gauge "lsnap_prune_deleted_backups" ["repository"],
        "Backups that the last prune deleted.";
    PRUNED_BYTES: Prune Gauge "lsnap_prune_deleted_bytes" ["repository"],
        "Bytes that the last prune deleted.";
    PRUNE_FAILED: Prune Gauge "lsnap_prune_failed_deletions" ["repository"],
        "Deletions of the last prune that failed.";
    VERIFIED: Verify Gauge "lsnap_verify_backups" ["repository", "level"],
        "Backups that the last verification checked.";
    VERIFY_READ: Verify Gauge "lsnap_verify_read_bytes" ["repository", "level"],
        "Bytes that the last verification read and compared.";
    VERIFY_PROBLEMS: Verify Gauge "lsnap_verify_problems" ["repository", "level"],
        "Problems that the last verification found.";
    VERIFY_DAMAGED: Verify Gauge "lsnap_verify_damaged_backups" ["repository", "level"],
        "Backups in which the last verification found problems.";
    LISTED: Repository Gauge "lsnap_repository_listed_timestamp_seconds" ["repository"],
        "Time of the listing that the metrics of the repository are from.";
    BACKUPS: Repository Gauge "lsnap_repository_backups" ["repository", "cluster"],
        "Backups in any state.";
    BYTES: Repository Gauge "lsnap_repository_bytes" ["repository", "cluster"],
        "Bytes of all objects of these backups.";
    OBJECTS: Repository Gauge "lsnap_repository_objects" ["repository", "cluster"],
        "Number of these objects.";
    UNFINISHED: Repository Gauge "lsnap_repository_unfinished_backups" ["repository", "cluster"],
        "Backups that were not finished within 24 hours.";
    DAMAGED: Repository Gauge "lsnap_repository_damaged_backups" ["repository", "cluster"],
        "Backups that lack objects or their base.";
    NEWEST: Repository Gauge "lsnap_newest_backup_timestamp_seconds" ["repository", "cluster"],
        "Start of the newest finished backup.";
    NEWEST_FULL: Repository Gauge "lsnap_newest_full_backup_timestamp_seconds" ["repository", "cluster"],
        "Start of the newest finished full backup.";
    CHAIN: Repository Gauge "lsnap_chain_incrementals" ["repository", "cluster"],
        "Incrementals in the chain of the newest backup.";
}
