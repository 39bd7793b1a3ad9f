//! A complete restore with the test double of xtrabackup, and the redo log for both appliers.

use super::super::{ApplierChoice, RestoreError, RestoreOptions, plan, redo as redo_files, run};
use crate::cancel::Cancel;
use crate::innodb::Lsn;
use crate::innodb::redo::{self, BLOCK, BlockState, FileHeader};
use crate::progress::{Phase, Progress, Silent};
use crate::reader::fixture::{Space, World, files_below, redo_block, start_of, system};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

const DOUBLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doubles/xtrabackup");

fn world() -> (World, Vec<Space>) {
    let mut world = World::new();
    let mut spaces = system();
    spaces.push(Space::new(7, "db/t.ibd", 20, 50));
    world.backup(&spaces);
    spaces[2].write(5, start_of(0) + 1, 2);
    spaces[2].name = "db/renamed.ibd".into();
    world.backup(&spaces);
    (world, spaces)
}

/// Creates a program that runs the test double in this mode.
pub(crate) fn double(dir: &Path, mode: &str, version: &str) -> PathBuf {
    let path = dir.join(format!("xtrabackup-{mode}-{version}"));
    let script = format!(
        "#!/bin/sh\nLSNAP_DOUBLE={mode} LSNAP_DOUBLE_VERSION={version} exec python3 {DOUBLE} \"$@\"\n"
    );
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn options(world: &World, program: PathBuf) -> RestoreOptions {
    RestoreOptions {
        applier: ApplierChoice::Xtrabackup,
        xtrabackup: Some(program),
        user: Some("root".into()),
        threads: 2,
        ..RestoreOptions::new(world.dir.path().join("data"))
    }
}

/// The double returns its `--version` without the checks of LSNAP_DOUBLE, because the plan only
/// needs the version.
#[test]
fn the_merged_directory_is_a_full_backup_for_xtrabackup() {
    let (world, spaces) = world();
    let options = options(&world, double(world.dir.path(), "ok", "8.4.6"));
    let plan = plan(&world.repo, "latest", &options).unwrap();
    assert!(plan.applier.reason.contains("8.4.6"), "{}", plan.applier);
    let report = run(&world.repo, &plan, &options, &Silent).unwrap();
    let files = files_below(&options.datadir);
    assert_eq!(
        files.keys().collect::<Vec<_>>(),
        [
            "#innodb_redo/#ib_redo10",
            "#innodb_redo/#ib_redo11_tmp",
            "db/renamed.ibd",
            "db/t.sdi",
            "ibdata1",
            "mysql.ibd",
            "xtrabackup_binlog_info",
            "xtrabackup_info",
        ]
    );
    assert!(files["db/renamed.ibd"] == spaces[2].bytes());
    assert!(options.datadir.join("empty").is_dir());
    // The redo files that it left don't have the source's log uuid.
    let left = FileHeader::parse(&files["#innodb_redo/#ib_redo10"][..BLOCK]).unwrap();
    assert_ne!(left.log_uuid, world.chain[0].server.redo_log_uuid);
    assert_eq!(report.members.len(), 2);
    assert_eq!(report.members[0].pages, 1);
    assert!(!world.dir.path().join("data.lsnap-restoring").exists());
    let mode = |path: &str| {
        let path = options.datadir.join(path);
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    };
    assert_eq!(
        (mode("mysql.ibd"), mode("db"), mode("")),
        (0o640, 0o750, 0o750)
    );
    // A second restore to the same target is refused.
    let error = run(&world.repo, &plan, &options, &Silent).unwrap_err();
    assert!(matches!(error, RestoreError::NotEmpty { .. }), "{error}");
}

#[test]
fn a_failed_prepare_leaves_its_log_and_no_data_directory() {
    let (world, _) = world();
    for mode in ["fail", "half"] {
        let options = options(&world, double(world.dir.path(), mode, "8.4.5"));
        let plan = plan(&world.repo, "latest", &options).unwrap();
        let error = run(&world.repo, &plan, &options, &Silent).unwrap_err();
        let RestoreError::Applier { log, tail, .. } = &error else {
            panic!("{error}");
        };
        assert!(log.exists());
        if mode == "fail" {
            assert!(tail.contains("asked to fail"), "{tail}");
        } else {
            assert!(error.to_string().contains("log-applied"), "{error}");
        }
        assert!(!options.datadir.exists());
        assert!(!log.parent().unwrap().join("data").exists());
    }
}

#[test]
fn an_unsuitable_program_is_refused_with_the_required_release() {
    let (world, _) = world();
    for version in ["8.4.4", "8.0.45", "9.7.5"] {
        let options = options(&world, double(world.dir.path(), "ok", version));
        let error = plan(&world.repo, "latest", &options).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("8.4.N with N >= 5"), "{text}");
        assert!(text.contains(version), "{text}");
    }
}

/// The redo log for a server: whole blocks, then one that ends at `last_lsn`, then zeros.
#[test]
fn redo_for_a_server_ends_at_last_lsn() {
    let (world, _) = world();
    let out = tempfile::tempdir().unwrap();
    with_fetcher(&world, |fetcher, plan| {
        redo_files::for_mysqld(fetcher, plan, out.path(), 0xABCD)
    })
    .unwrap();
    let file = std::fs::read(out.path().join("#innodb_redo/#ib_redo0")).unwrap();
    assert!(file.len() >= 8 << 20 && file.len().is_multiple_of(65536));
    let head = FileHeader::parse(&file[..BLOCK]).unwrap();
    let lsn = &world.chain[1].lsn;
    assert_eq!(head.log_uuid, 0xABCD);
    assert_eq!(head.start_lsn, lsn.start_checkpoint.block_start());
    assert_eq!(head.creator_str(), "MySQL 8.4.5");
    assert_eq!(
        redo::parse_checkpoint(&file[512..1024]),
        Some(lsn.start_checkpoint)
    );
    let mut at = head.start_lsn;
    let mut end = None;
    for block in file[redo::HEADER..].chunks_exact(BLOCK) {
        match redo::classify(block, at) {
            BlockState::Full => assert!(end.is_none()),
            BlockState::Partial { data_len } => {
                assert!(end.is_none());
                end = Some(Lsn(at.0 + u64::from(data_len)));
            }
            _ => assert!(end.is_some() && block.iter().all(|byte| *byte == 0)),
        }
        at.0 += BLOCK as u64;
    }
    assert_eq!(end, Some(lsn.last_lsn));
}

/// Damage of the log itself: digests and CRCs of the stream are right.
#[test]
fn redo_that_does_not_reach_its_end_is_refused() {
    let start = Lsn(start_of(0));
    let last = Lsn(start_of(0) + 4_000);
    let good = crate::reader::fixture::redo_log(start, last);
    let at_block = |n: usize| redo::HEADER + n * BLOCK;
    let mut torn = good.clone();
    torn[at_block(3) + 100] ^= 1;
    let mut hole = good.clone();
    hole[at_block(2)..at_block(3)].fill(0);
    let mut newer = good.clone();
    let ahead = Lsn(start.block_start().0 + (1 << 20));
    newer[at_block(1)..at_block(2)].copy_from_slice(&redo_block(ahead, 512));
    let mut early = good.clone();
    let second = Lsn(start.block_start().0 + 512);
    early[at_block(1)..at_block(2)].copy_from_slice(&redo_block(second, 100));
    let short = good[..at_block(4)].to_vec();
    for (what, log) in [
        ("torn", torn),
        ("hole", hole),
        ("newer", newer),
        ("early", early),
        ("short", short),
    ] {
        let mut world = World::new();
        world.redo = Some(log);
        world.backup(&system());
        let out = tempfile::tempdir().unwrap();
        for server in [false, true] {
            let error = with_fetcher(&world, |fetcher, plan| {
                if server {
                    redo_files::for_mysqld(fetcher, plan, out.path(), 1)
                } else {
                    redo_files::for_xtrabackup(fetcher, plan, out.path())
                }
            })
            .unwrap_err();
            assert!(
                error.to_string().contains("xtrabackup_logfile"),
                "{what}: {error}"
            );
        }
    }
}

fn with_fetcher(
    world: &World,
    act: impl FnOnce(
        &crate::reader::fetch::Fetcher<'_>,
        &super::super::RestorePlan,
    ) -> Result<(), RestoreError>,
) -> Result<(), RestoreError> {
    let plan = world.plan(world.chain.len() - 1)?;
    let counters = crate::reader::counters::Counters::new(plan.members.len());
    let fetcher = crate::reader::fetch::Fetcher {
        key: None,
        source: crate::reader::source::Source::Repository(&world.repo),
        progress: &Silent,
        phase: crate::progress::Phase::Merge,
        counters: &counters,
        limit: 64 << 20,
        cancel: &crate::cancel::Cancel::new(),
    };
    act(&fetcher, &plan)
}

/// Cancels a restore as soon as it has reached a phase.
struct StopAt(Phase, Cancel);

impl Progress for StopAt {
    fn phase(&self, phase: Phase, _: Option<u64>) {
        if phase == self.0 {
            self.1.cancel();
        }
    }
}

#[test]
fn a_cancelled_restore_leaves_no_files() {
    let (world, _) = world();
    for (mode, phase) in [("ok", Phase::Merge), ("sleep", Phase::Apply)] {
        let options = options(&world, double(world.dir.path(), mode, "8.4.6"));
        let plan = plan(&world.repo, "latest", &options).unwrap();
        let begun = std::time::Instant::now();
        let progress = StopAt(phase, options.cancel.clone());
        let error = run(&world.repo, &plan, &options, &progress).unwrap_err();
        assert!(matches!(error, RestoreError::Interrupted), "{error}");
        assert!(begun.elapsed() < std::time::Duration::from_secs(10));
        assert!(!options.datadir.exists());
        assert!(!world.dir.path().join("data.lsnap-restoring").exists());
    }
}

/// The configuration in a backup is kept separately while the redo is applied, and is placed
/// afterwards if the backup is trusted.
#[test]
fn configuration_of_a_backup_is_kept_from_the_redo_applier() {
    let mut world = World::new();
    let mut plain = vec![
        ("mysqld.my", "{\"components\": \"file://evil\"}"),
        ("mysqld-auto.cnf", "{}"),
        ("db/t.isl", "/victim/t.ibd"),
        ("component_keyring_file.cnf", "{\"path\": \"/victim/keys\"}"),
    ];
    world.plain = plain
        .iter()
        .map(|(n, t)| ((*n).into(), (*t).into()))
        .collect();
    world.backup(&system());
    let seen = world.dir.path().join("seen");
    let program = double(world.dir.path(), "ok", "8.4.6");
    let script = std::fs::read_to_string(&program).unwrap();
    let look = format!(
        "#!/bin/sh\nfor a in \"$@\"; do case \"$a\" in --target-dir=*) (cd \"${{a#*=}}\" && find . -type f \
         && cat backup-my.cnf) >>'{}';; esac; done\n",
        seen.display()
    );
    std::fs::write(&program, script.replacen("#!/bin/sh\n", &look, 1)).unwrap();
    let mut options = options(&world, program);
    let found = plan(&world.repo, "latest", &options).unwrap();
    let warned = found
        .warnings
        .iter()
        .any(|w| w.contains("RestoreOptions::keyring_config"));
    assert!(warned, "{:?}", found.warnings);
    let report = run(&world.repo, &found, &options, &Silent).unwrap();
    assert_eq!(
        report.not_placed.len(),
        plain.len(),
        "{:?}",
        report.not_placed
    );
    for (name, _) in &plain {
        assert!(!options.datadir.join(name).exists(), "{name}");
        assert!(report.warnings.iter().any(|w| w.contains(name)), "{name}");
    }
    options.datadir = world.dir.path().join("accepted");
    options.accept_config = true;
    let found = plan(&world.repo, "latest", &options).unwrap();
    let report = run(&world.repo, &found, &options, &Silent).unwrap();
    assert_eq!(report.not_placed, ["db/t.isl"]);
    let seen = std::fs::read_to_string(seen).unwrap();
    assert!(
        seen.contains("./ibdata1") && seen.contains("innodb_undo_directory=./"),
        "{seen}"
    );
    plain.push(("db/t.sdi", "sdi 0"));
    for (name, text) in plain {
        assert_eq!(
            seen.contains(name),
            name.ends_with(".sdi"),
            "{name}: {seen}"
        );
        let restored = std::fs::read_to_string(options.datadir.join(name)).ok();
        assert_eq!(
            restored.as_deref(),
            (name != "db/t.isl").then_some(text),
            "{name}"
        );
    }
}

#[test]
fn the_programs_that_restore_starts_do_not_see_secrets() {
    let (world, _) = world();
    let program = double(world.dir.path(), "ok", "8.4.6");
    let seen = world.dir.path().join("env");
    let script = std::fs::read_to_string(&program).unwrap();
    let look = format!("#!/bin/sh\nenv >>'{}'\n", seen.display());
    std::fs::write(&program, script.replacen("#!/bin/sh\n", &look, 1)).unwrap();
    let options = options(&world, program);
    let plan = plan(&world.repo, "latest", &options).unwrap();
    run(&world.repo, &plan, &options, &Silent).unwrap();
    // Cargo's variables represent the secrets of a user's environment.
    let seen = std::fs::read_to_string(seen).unwrap();
    assert!(seen.contains("PATH=") && !seen.contains("CARGO"), "{seen}");
}

/// A log that was cut at any LSN must end where a server that reads its blocks ends.
#[test]
fn a_log_that_ends_anywhere_in_a_block_is_cut_where_recovery_ends() {
    let start = Lsn(start_of(0));
    let base = Lsn(start.0 + 4_000).block_start().0;
    let mut world = World::new();
    world.backup(&system());
    for offset in 0..BLOCK as u64 {
        let last = Lsn(base + offset);
        world.chain[0].lsn.last_lsn = last;
        let out = tempfile::tempdir().unwrap();
        with_fetcher(&world, |fetcher, plan| {
            redo_files::for_mysqld(fetcher, plan, out.path(), 1)
        })
        .unwrap_or_else(|error| panic!("{offset}: {error}"));
        let file = std::fs::read(out.path().join("#innodb_redo/#ib_redo0")).unwrap();
        let mut at = start.block_start().0;
        let mut scanned = at;
        for block in file[redo::HEADER..].chunks_exact(BLOCK) {
            // A recovering server takes a block that is not full for the last one.
            match redo::classify(block, Lsn(at)) {
                BlockState::Full => scanned = at + BLOCK as u64,
                BlockState::Partial { data_len } => {
                    assert!((12..508).contains(&data_len), "{offset}: {data_len}");
                    scanned = at + u64::from(data_len);
                    break;
                }
                _ => break,
            }
            at += BLOCK as u64;
        }
        assert_eq!(
            scanned,
            crate::reader::redo_log::needed_end(last).0,
            "{offset}"
        );
        // Recovery applies a mini-transaction that fills a block only if it has scanned the next block.
        assert!(
            scanned == last.0 || !(12..508).contains(&offset),
            "{offset}"
        );
        // All bytes of the payload before the end are kept.
        let payload = |lsn: u64| lsn / 512 * 496 + (lsn % 512).clamp(12, 508) - 12;
        assert_eq!(payload(scanned), payload(last.0), "{offset}");
    }
}

#[test]
fn the_space_check_can_be_skipped() {
    let (world, _) = world();
    let mut options = options(&world, double(world.dir.path(), "ok", "8.4.6"));
    let mut plan = plan(&world.repo, "latest", &options).unwrap();
    plan.write_bytes = u64::MAX;
    let error = run(&world.repo, &plan, &options, &Silent).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("RestoreOptions::skip_space_check"),
        "{error}"
    );
    options.skip_space_check = true;
    run(&world.repo, &plan, &options, &Silent).unwrap();
}
