//! The version that lsnap shows under xtrabackup's names.
//!
//! Callers compare it with a minimum, and with the series of the server (8.0, 8.4, 9.x). So it is that of a release
//! of xtrabackup whose behaviour is reproduced; lsnap's own version is the revision id.

/// The release of xtrabackup, which backups have in `xtrabackup_info` too.
pub(super) const XTRABACKUP: &str = crate::backup::XTRABACKUP_VERSION;
/// The server that this release is made for.
const SERVER: &str = "8.4.0";

/// Returns the line of `--version`.
pub(super) fn line(program: &str) -> String {
    format!(
        "{program} version {XTRABACKUP} based on MySQL server {SERVER} Linux ({}) (revision id: lsnap-{})",
        std::env::consts::ARCH,
        env!("CARGO_PKG_VERSION")
    )
}

/// Returns the line of `--version` of a program of xtrabackup other than the main one.
pub(super) fn of_tool(program: &str) -> String {
    format!(
        "{program}  Ver {XTRABACKUP} for Linux ({}) (revision id: lsnap-{})",
        std::env::consts::ARCH,
        env!("CARGO_PKG_VERSION")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the digits and dots that follow the first digit.
    fn digits(text: &str) -> &str {
        let start = text.find(|c: char| c.is_ascii_digit()).unwrap();
        let rest = &text[start..];
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.');
        &rest[..end.unwrap_or(rest.len())]
    }

    /// The patterns of the callers: awk's third field of a line that begins with "xtrabackup version" (Percona's
    /// operators), the first number with dots (the SST script), the number after "version" (Holland), the one after
    /// "MySQL server" (the PXC operator).
    #[test]
    fn every_pattern_of_the_callers_finds_a_version() {
        let line = line("xtrabackup");
        assert!(line.starts_with("xtrabackup version "));
        let third = line.split(' ').nth(2).unwrap();
        assert!(third.starts_with("8.4."), "{third}");
        assert_eq!(digits(&line), "8.4.0");
        let after = |word: &str| digits(line.split_once(word).unwrap().1).to_owned();
        assert_eq!(after("version "), "8.4.0");
        assert_eq!(after("MySQL server "), SERVER);
        assert!(line.contains(&format!("version {XTRABACKUP} based on MySQL server")));
    }
}
