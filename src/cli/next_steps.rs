//! The text of the steps after a restore. Lines that are typed begin with six spaces.

use crate::restore::{Join, JoinMethod, JoinSource, RestoreReport, Setting};
use crate::shown::shown;
use std::fmt::Write as _;

/// Returns the steps.
pub(super) fn text(report: &RestoreReport) -> String {
    let next = &report.next;
    let mut steps = Steps::default();
    if let Some(place) = &report.moved_aside {
        steps.begin(&format!(
            "Old content of the directory: {}",
            place.display()
        ));
        steps.add("Remove it when the restored server works.");
    }
    if let Some(chown) = &next.chown {
        steps.begin("Give the files to the account of the server:");
        steps.typed(chown);
    }
    settings(&mut steps, &report.settings, &next.start);
    for note in &next.notes {
        steps.begin(&format!("Note: {note}."));
    }
    steps.begin("Start the server. It creates a new server_uuid:");
    steps.typed(&next.start);
    match &next.position {
        Some(at) if at.gtid_executed.is_empty() => {
            steps.begin(&format!(
                "Position of the data: {}:{}, without GTIDs",
                at.file, at.position
            ));
        }
        Some(at) => {
            steps.begin(&format!(
                "Position of the data: {}:{}",
                at.file, at.position
            ));
            let set: String = at.gtid_executed.split_whitespace().collect();
            steps.add(&format!("GTIDs: {set}"));
        }
        None => steps.begin("Position of the data: none, because the source writes no binary log"),
    }
    for way in &next.join {
        join(&mut steps, way);
    }
    steps.out
}

/// The lines of the steps. Each text is one line: a name of a manifest can't add others.
#[derive(Default)]
struct Steps {
    out: String,
    count: u32,
}

impl Steps {
    fn begin(&mut self, text: &str) {
        if self.count == 0 {
            self.out += "Next:\n";
        }
        self.count += 1;
        let _ = writeln!(self.out, "  {}. {}", self.count, shown(text));
    }

    fn add(&mut self, text: &str) {
        let _ = writeln!(self.out, "     {}", shown(text));
    }

    fn typed(&mut self, text: &str) {
        let _ = writeln!(self.out, "      {}", shown(text));
    }
}

fn settings(steps: &mut Steps, settings: &[Setting], start: &str) {
    let set: Vec<_> = settings
        .iter()
        .filter_map(|setting| Some((setting, setting.value.as_ref()?)))
        .collect();
    if !set.is_empty() {
        let has_them = if start.starts_with("systemctl ") {
            ""
        } else {
            " (the command that starts the server has them as options)"
        };
        steps.begin(&format!("Set in my.cnf{has_them}:"));
        steps.typed("[mysqld]");
        for (setting, value) in set {
            steps.typed(&format!("# {}", setting.why));
            steps.typed(&format!("{} = {value}", setting.name));
        }
    }
    for setting in settings.iter().filter(|setting| setting.value.is_none()) {
        steps.begin(&format!(
            "Don't set {} in my.cnf: {}.",
            setting.name, setting.why
        ));
    }
}

fn join(steps: &mut Steps, way: &Join) {
    let who = way.addresses.join(", ");
    let source = match way.source {
        JoinSource::BackedUpServer => format!("the server that was backed up, {who}"),
        _ => format!("the source of the server that was backed up, {who}"),
    };
    if let Some(why) = &way.impossible {
        steps.begin(&format!("It can't become a replica of {source}: {why}"));
        return;
    }
    let how = match way.method {
        JoinMethod::Gtid => "by GTID",
        JoinMethod::Position => "by position",
        _ => "by GTID and by position",
    };
    steps.begin(&format!("To make it a replica of {source}, {how}:"));
    for statement in &way.statements {
        steps.typed(statement);
    }
    if !way.placeholders.is_empty() {
        let names = way.placeholders.join(", ");
        steps.add(&format!(
            "Replace {names}; texts with quotes. A server_id must be unique in the replication."
        ));
    }
    steps.add("Set super_read_only=ON if nothing but the replication is to change its data (events run, too).");
}
