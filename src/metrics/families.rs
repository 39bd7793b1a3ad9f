//! The table of all metrics: the only place that has their names. `docs/reference/metrics.md` is generated from it.

use std::fmt;

/// The type of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
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
pub(crate) enum Group {
    Run,
    Success,
    Backup,
    Prune,
    Verify,
    Repository,
    Agent,
    Schedule,
}

impl Group {
    /// Returns whether only the agent has it, and not the file for node_exporter.
    #[cfg(test)]
    pub(crate) const fn is_of_the_agent(self) -> bool {
        matches!(self, Self::Agent | Self::Schedule)
    }
}

/// A metric.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Family {
    pub(crate) group: Group,
    pub(crate) kind: Kind,
    pub(crate) name: &'static str,
    /// A label without a value is left out.
    pub(crate) labels: &'static [&'static str],
    pub(crate) help: &'static str,
}

macro_rules! families {
    ($($id:ident: $group:ident $kind:ident $name:literal $labels:expr, $help:literal;)*) => {
        $(pub(crate) static $id: Family = Family {
            group: Group::$group,
            kind: Kind::$kind,
            name: $name,
            labels: &$labels,
            help: $help,
        };)*
        /// All metrics, in the order of the file.
        pub(crate) static FAMILIES: &[&Family] = &[$(&$id),*];
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
    RESTORE_SECONDS: Verify Gauge "lsnap_verify_restore_seconds" ["repository", "phase"],
        "Duration of a phase of the last test restore: merge (with fetching, which runs concurrently), redo or check.";
    RESTORE_BYTES: Verify Gauge "lsnap_verify_restored_bytes" ["repository"],
        "Bytes that the last test restore wrote to files.";
    RESTORE_TABLES: Verify Gauge "lsnap_verify_checked_tables" ["repository"],
        "Tables that the restored server checked.";
    RESTORE_TABLES_LEFT: Verify Gauge "lsnap_verify_unchecked_tables" ["repository"],
        "Tables for which no time was left (--check-tables-for).";
    RESTORE_QUERIES: Verify Gauge "lsnap_verify_failed_queries" ["repository"],
        "Queries of --checks without the expected result.";
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
    AGENT: Agent Gauge "lsnap_agent_info" ["version", "agent"],
        "Version of lsnap, and the name of the agent.";
    AGENT_START: Agent Gauge "lsnap_agent_start_time_seconds" [],
        "Start of the agent.";
    AGENT_STEP: Agent Gauge "lsnap_agent_scheduler_idle_seconds" [],
        "Time since the last step of the scheduler.";
    AGENT_ENDS: Agent Gauge "lsnap_agent_shutting_down" [],
        "1 if the agent is shutting down, else 0.";
    AGENT_FREE: Agent Gauge "lsnap_agent_free_bytes" [],
        "Free space of the agent's directory.";
    AGENT_JOBS: Agent Gauge "lsnap_agent_jobs" ["state"],
        "Jobs by state: queued, running or cancelling.";
    JOB_START: Agent Gauge "lsnap_agent_job_start_timestamp_seconds" ["command", "repository"],
        "Start of the running job; of several the earliest.";
    JOB_DONE: Agent Gauge "lsnap_agent_job_done_bytes" ["command", "repository", "phase"],
        "Bytes that the running job has done in its phase.";
    JOB_EXPECTED: Agent Gauge "lsnap_agent_job_expected_bytes" ["command", "repository", "phase"],
        "Bytes of this phase, if known.";
    BACKUP_RATE: Agent Gauge "lsnap_backup_mean_read_bytes_per_second" ["repository", "cluster", "type"],
        "With a throttle: the mean rate at which the last backup read.";
    BACKUP_BACKED_OFF: Agent Gauge "lsnap_backup_throttle_lowered" ["repository", "cluster", "type"],
        "With a throttle: how often the last backup read more slowly because the server got slower.";
    SERVER: Agent Gauge "lsnap_server_reachable" [],
        "1 if the server answered when it was asked last, else 0.";
    SERVER_REPLICA: Agent Gauge "lsnap_server_is_replica" [],
        "1 if the server is a replica, else 0.";
    SERVER_LAG: Agent Gauge "lsnap_server_replica_lag_seconds" [],
        "Lag of the replica, if known.";
    REACHABLE: Agent Gauge "lsnap_repository_reachable" ["repository"],
        "1 if the last listing of the repository succeeded, else 0.";
    NEXT: Schedule Gauge "lsnap_schedule_next_timestamp_seconds" ["schedule", "job"],
        "Nominal time of the next slot.";
    PAUSED: Schedule Gauge "lsnap_schedule_paused" ["schedule", "job"],
        "1 if the schedule is paused, else 0.";
    SLOT: Schedule Gauge "lsnap_schedule_last_slot_timestamp_seconds" ["schedule", "job"],
        "Nominal time of the last slot that ended.";
    SLOT_END: Schedule Gauge "lsnap_schedule_last_end_timestamp_seconds" ["schedule", "job"],
        "End of this slot.";
    SLOT_OUTCOME: Schedule Gauge "lsnap_schedule_last_outcome" ["schedule", "job", "outcome"],
        "1 for the outcome of this slot (succeeded, failed, missed or skipped), 0 for the others.";
    SLOT_SUCCESS: Schedule Gauge "lsnap_schedule_last_success_timestamp_seconds" ["schedule", "job"],
        "End of the last slot that succeeded, whichever agent ran it.";
    HOLDER: Schedule Gauge "lsnap_schedule_holder_info" ["schedule", "job", "agent"],
        "1 for the agent that holds the running slot.";
}
