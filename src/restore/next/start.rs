//! The owner of a restored directory, and the command that starts a server on it.

use super::super::plan::RestorePlan;
use super::super::{ApplierKind, service, shell};
use std::path::Path;

/// The account of the server in the packages of all distributions.
const ACCOUNT: &str = "mysql";

/// Returns the command that gives the files to the account of the server. Root has done that.
pub(super) fn chown(datadir: &Path, user: Option<&str>) -> Option<String> {
    let own = rustix::process::geteuid();
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    if own.is_root() || is_account(&passwd, user.unwrap_or(ACCOUNT), own.as_raw()) {
        return None;
    }
    // A colon alone is the group of the account.
    let owner = match user {
        None => format!("{ACCOUNT}:{ACCOUNT}"),
        Some(user) if user.contains(':') => user.to_owned(),
        Some(user) => format!("{user}:"),
    };
    let datadir = shell::quoted(&datadir.to_string_lossy());
    Some(format!("sudo chown -R {} {datadir}", shell::quoted(&owner)))
}

/// Returns whether `name` (a name, or numbers) is the account with this number.
fn is_account(passwd: &str, name: &str, number: u32) -> bool {
    let wanted = name.split(':').next().unwrap_or(name);
    if wanted.parse() == Ok(number) {
        return true;
    }
    passwd.lines().any(|line| {
        let mut fields = line.split(':');
        fields.next() == Some(wanted)
            && fields.nth(1).and_then(|uid| uid.parse().ok()) == Some(number)
    })
}

/// Returns the command that starts a server on the directory: the system's service, or the program
/// with all options that the directory needs.
pub(super) fn command(plan: &RestorePlan, user: Option<&str>) -> String {
    if let Some(unit) = service::unit_of(&plan.datadir) {
        return format!("systemctl start {unit}");
    }
    let program = match plan.applier.kind {
        ApplierKind::Mysqld => plan.applier.program.to_string_lossy(),
        ApplierKind::Xtrabackup | ApplierKind::Server => "mysqld".into(),
    };
    let mut words = vec![
        program.into_owned(),
        "--no-defaults".to_owned(),
        format!("--datadir={}", plan.datadir.display()),
    ];
    if rustix::process::geteuid().is_root() {
        let account = user.unwrap_or(ACCOUNT).split(':').next().unwrap_or(ACCOUNT);
        words.push(format!("--user={account}"));
    }
    // Relative to the data directory: a socket has a short name, and no other server uses it.
    for option in [
        "socket=mysqld.sock",
        "pid-file=mysqld.pid",
        "log-error=mysqld.err",
    ] {
        words.push(format!("--{option}"));
    }
    words.push("--mysqlx=OFF".to_owned());
    // The default of a package is a directory that only its installation creates.
    words.push("--secure-file-priv=NULL".to_owned());
    for setting in &plan.settings {
        if let Some(value) = &setting.value {
            words.push(format!("--{}={value}", setting.name.replace('_', "-")));
        }
    }
    let words: Vec<String> = words.iter().map(|word| shell::quoted(word)).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_found_by_name_and_number() {
        let passwd = "root:x:0:0::/:\nmysql:x:112:118:MySQL:/nonexistent:/bin/false\n";
        for (name, number, is) in [
            ("mysql", 112, true),
            ("mysql", 1000, false),
            ("112", 112, true),
            ("112:118", 112, true),
            ("nobody", 112, false),
        ] {
            assert_eq!(is_account(passwd, name, number), is, "{name} {number}");
        }
    }
}
