//! The commands that make room in a target with files.

use super::target_place::{Handover, place};
use super::{aside, running_server, service, shell};
use std::path::Path;

/// The commands for a target with files.
#[derive(Debug)]
pub(crate) struct Occupied {
    /// The command that stops the server that runs in the target or may start in it.
    pub(crate) stop: Option<String>,
    /// The commands that move the files aside.
    pub(crate) make_room: Vec<String>,
}

impl Occupied {
    /// Looks at a target.
    pub(crate) fn of(target: &Path) -> Self {
        let now = chrono::Utc::now();
        let word = |path: &Path| shell::quoted(&path.to_string_lossy());
        let make_room = match place(target) {
            Ok((datadir, _, Handover::Inside)) => {
                let to = word(&aside::place_of_entries(&datadir, now));
                let from = word(&datadir);
                let others = "! -name '.lsnap-*' ! -name lost+found";
                vec![
                    format!("mkdir {to}"),
                    format!("find {from} -mindepth 1 -maxdepth 1 {others} -exec mv -t {to} {{}} +"),
                ]
            }
            Ok((datadir, ..)) => {
                let to = word(&aside::place_of_whole(&datadir, now));
                vec![format!("mv {} {to}", word(&datadir))]
            }
            Err(_) => Vec::new(),
        };
        Self {
            stop: stop(target),
            make_room,
        }
    }
}

/// Returns the command that stops the server of a data directory.
fn stop(target: &Path) -> Option<String> {
    if let Some(unit) = service::unit_of(target) {
        return Some(format!("systemctl stop {unit}"));
    }
    let server = running_server::in_directory(target).ok()??;
    server.pid.map(|pid| format!("kill {pid}"))
}
