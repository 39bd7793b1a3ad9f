//! The system's service of the server.

use std::path::Path;

/// The data directory of the packages of all distributions.
const PACKAGED: &str = "/var/lib/mysql";
/// The names of the unit: of Debian's packages, of those for RHEL, of older ones.
const UNITS: [&str; 3] = ["mysql", "mysqld", "mysql-server"];
/// The directories of units.
const DIRECTORIES: [&str; 3] = [
    "/etc/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];

/// Returns the unit whose server uses this data directory: known for the directory of the packages,
/// if a unit is installed.
pub(crate) fn unit_of(datadir: &Path) -> Option<&'static str> {
    if datadir != Path::new(PACKAGED) {
        return None;
    }
    let is_there = |unit: &&str| {
        let file = format!("{unit}.service");
        DIRECTORIES
            .iter()
            .any(|directory| Path::new(directory).join(&file).exists())
    };
    UNITS.iter().find(|unit| is_there(unit)).copied()
}
