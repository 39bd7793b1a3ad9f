use super::*;
use crate::metrics::families::BACKUPS;

fn labels(command: &'static str, cluster: &str) -> RunLabels {
    RunLabels {
        command,
        repository: "s3://b/p".to_owned(),
        cluster: cluster.to_owned(),
        level: "",
    }
}

fn end(seconds: i64, exit_code: u8) -> RunEnd {
    RunEnd {
        time: DateTime::from_timestamp(seconds, 0).unwrap(),
        duration: Duration::from_secs(2),
        exit_code,
        kind: Some(BackupKind::Full).filter(|_| exit_code == 0),
    }
}

/// Returns the value of a metric of a run.
fn value(
    all: &[Sample],
    family: &Family,
    labels: &RunLabels,
    more: &[(&str, &str)],
) -> Option<f64> {
    let fits = |s: &&Sample| {
        s.family.name == family.name
            && s.label("command") == labels.command
            && s.label("cluster") == labels.cluster
            && more.iter().all(|(name, value)| s.label(name) == *value)
    };
    let found: Vec<_> = all.iter().filter(fits).collect();
    assert!(found.len() < 2, "{found:?}");
    found.first().map(|s| s.value)
}

#[test]
fn a_failure_is_not_a_success_and_does_not_remove_the_last_one() {
    let backup = labels("backup", "shop");
    let size = |bytes| {
        let labels = [
            ("repository", "s3://b/p"),
            ("cluster", "shop"),
            ("type", "full"),
        ];
        Sample::new(&BACKUP_STORED, &labels, bytes)
    };
    let mut all = Vec::new();
    merge(&mut all, &backup, end(100, 0), vec![size(7.0)]);
    merge(&mut all, &backup, end(200, 13), Vec::new());
    let full = [("type", "full")];
    assert_eq!(value(&all, &SUCCESS, &backup, &full), Some(100.0));
    assert_eq!(value(&all, &RUN_END, &backup, &[]), Some(200.0));
    assert_eq!(value(&all, &RUN_SUCCESS, &backup, &[]), Some(0.0));
    assert_eq!(value(&all, &RUN_EXIT_CODE, &backup, &[]), Some(13.0));
    assert_eq!(value(&all, &DAMAGE, &backup, &[]), Some(200.0));
    assert!(all.contains(&size(7.0)));
    merge(&mut all, &backup, end(300, 0), vec![size(8.0)]);
    assert_eq!(value(&all, &SUCCESS, &backup, &full), Some(300.0));
    assert_eq!(value(&all, &RUN_SUCCESS, &backup, &[]), Some(1.0));
    assert_eq!(
        value(&all, &DAMAGE, &backup, &[]),
        Some(200.0),
        "a success doesn't remove it"
    );
    assert!(all.contains(&size(8.0)) && !all.contains(&size(7.0)));
    for (result, runs) in [("success", 2.0), ("failure", 1.0)] {
        assert_eq!(
            value(&all, &RUNS, &backup, &[("result", result)]),
            Some(runs)
        );
    }
}

#[test]
fn a_first_failure_has_no_last_success() {
    let backup = labels("backup", "shop");
    let mut all = Vec::new();
    merge(&mut all, &backup, end(100, 1), Vec::new());
    assert_eq!(value(&all, &SUCCESS, &backup, &[]), None);
    assert_eq!(
        value(&all, &RUNS, &backup, &[("result", "success")]),
        Some(0.0)
    );
}

#[test]
fn commands_clusters_and_levels_do_not_replace_each_other() {
    let mut all = Vec::new();
    let quick = RunLabels {
        level: "present",
        ..labels("verify", "")
    };
    let whole = RunLabels {
        level: "data",
        ..labels("verify", "")
    };
    merge(&mut all, &labels("backup", "shop"), end(100, 1), Vec::new());
    merge(&mut all, &labels("backup", "crm"), end(200, 0), Vec::new());
    merge(&mut all, &labels("prune", ""), end(300, 0), Vec::new());
    merge(&mut all, &whole, end(400, 13), Vec::new());
    merge(&mut all, &quick, end(500, 0), Vec::new());
    assert_eq!(
        value(&all, &RUN_SUCCESS, &labels("backup", "shop"), &[]),
        Some(0.0)
    );
    assert_eq!(
        value(&all, &RUN_SUCCESS, &labels("backup", "crm"), &[]),
        Some(1.0)
    );
    let level = |level| value(&all, &RUN_SUCCESS, &whole, &[("level", level)]);
    assert_eq!((level("data"), level("present")), (Some(0.0), Some(1.0)));
}

#[test]
fn a_listing_replaces_all_of_its_repository() {
    let of = |url: &str, cluster: &str| {
        Sample::new(&BACKUPS, &[("repository", url), ("cluster", cluster)], 3.0)
    };
    let listed = Sample::new(&LISTED, &[("repository", "s3://b/p")], 1.0);
    let mut all = vec![of("s3://b/p", "gone"), of("s3://other", "shop")];
    let backup = labels("backup", "shop");
    merge(&mut all, &backup, end(1, 0), Vec::new());
    assert!(
        all.contains(&of("s3://b/p", "gone")),
        "no listing: nothing is known to be gone"
    );
    merge(
        &mut all,
        &backup,
        end(2, 0),
        vec![listed, of("s3://b/p", "shop")],
    );
    assert!(!all.contains(&of("s3://b/p", "gone")));
    assert!(all.contains(&of("s3://b/p", "shop")) && all.contains(&of("s3://other", "shop")));
}
