//! The versions that programs print for `--version`, and whether they are suitable for a backup.
//!
//! InnoDB's redo records and dictionary depend on the release: only a program of the same series
//! (major.minor) that is not older than the source server may apply its redo log.

use std::fmt;

/// A release number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Release {
    /// E.g. 8.
    pub major: u32,
    /// E.g. 4.
    pub minor: u32,
    /// E.g. 6.
    pub patch: u32,
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl Release {
    /// Parses `8.0.36-28`, `9.7.4-2ubuntu1`, `8.4.0`: three numbers, then anything that doesn't
    /// begin with a digit.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, '.');
        let major = parts.next()?.parse().ok()?;
        let minor = parts.next()?.parse().ok()?;
        let rest = parts.next()?;
        let digits = rest
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(rest.len());
        let patch = rest[..digits].parse().ok()?;
        Some(Self {
            major,
            minor,
            patch,
        })
    }

    /// Returns whether a program of this release may apply the redo log of `source`.
    #[must_use]
    pub fn may_recover(self, source: Self) -> bool {
        (self.major, self.minor) == (source.major, source.minor) && self.patch >= source.patch
    }
}

/// The distribution of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavour {
    /// Oracle's, and distributions' builds of it.
    Mysql,
    /// Percona Server.
    Percona,
    /// `MariaDB`: its redo log has another format.
    Mariadb,
}

impl fmt::Display for Flavour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mysql => "MySQL",
            Self::Percona => "Percona Server",
            Self::Mariadb => "MariaDB",
        })
    }
}

impl Flavour {
    /// Returns the flavour in a version line, a version comment or a manifest.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let text = text.to_ascii_lowercase();
        if text.contains("mariadb") {
            Self::Mariadb
        } else if text.contains("percona") {
            Self::Percona
        } else {
            Self::Mysql
        }
    }
}

/// Parses the version of a server program: `mysqld  Ver 9.7.4-2 for Linux on x86_64 ((Debian))`.
#[must_use]
pub fn parse_mysqld(output: &str) -> Option<(Flavour, Release)> {
    output.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        words.find(|word| *word == "Ver")?;
        let release = Release::parse(words.next()?)?;
        Some((Flavour::of(line), release))
    })
}

/// The version of an `xtrabackup`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct XtrabackupVersion {
    /// Its own version, e.g. `8.0.35-31`.
    pub own: String,
    /// The server release of its recovery code.
    pub server: Release,
}

/// Parses `xtrabackup version 8.0.35-31 based on MySQL server 8.0.35 Linux (x86_64) (revision id:
/// 55ec21d7)`, possibly after lines about recognised arguments.
#[must_use]
pub fn parse_xtrabackup(output: &str) -> Option<XtrabackupVersion> {
    output.lines().find_map(|line| {
        if Flavour::of(line) == Flavour::Mariadb {
            return None;
        }
        let own = after(line, "xtrabackup version ")?;
        let server = after(line, "based on MySQL server ")?;
        Some(XtrabackupVersion {
            own: own.to_owned(),
            server: Release::parse(server)?,
        })
    })
}

/// Returns the word that follows `marker`.
fn after<'a>(line: &'a str, marker: &str) -> Option<&'a str> {
    let (_, rest) = line.split_once(marker)?;
    rest.split_whitespace().next()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn release(major: u32, minor: u32, patch: u32) -> Release {
        Release {
            major,
            minor,
            patch,
        }
    }

    #[test]
    fn versions_of_servers_are_parsed() {
        for (line, flavour, version) in [
            (
                "/tmp/x/mysqld  Ver 9.7.4-2 for Linux on x86_64 ((Debian))",
                Flavour::Mysql,
                release(9, 7, 4),
            ),
            (
                "/usr/sbin/mysqld  Ver 8.0.36 for Linux on x86_64 (MySQL Community Server - GPL)",
                Flavour::Mysql,
                release(8, 0, 36),
            ),
            (
                "/usr/sbin/mysqld  Ver 8.0.39-0ubuntu0.24.04.2 for Linux on x86_64 ((Ubuntu))",
                Flavour::Mysql,
                release(8, 0, 39),
            ),
            (
                "/usr/sbin/mysqld  Ver 8.0.36-28 for Linux on x86_64 (Percona Server (GPL), Release 28, Revision 47601f19)",
                Flavour::Percona,
                release(8, 0, 36),
            ),
            (
                "mysqld  Ver 10.11.6-MariaDB-0+deb12u1 for debian-linux-gnu on x86_64 (Debian 12)",
                Flavour::Mariadb,
                release(10, 11, 6),
            ),
        ] {
            assert_eq!(parse_mysqld(line), Some((flavour, version)), "{line}");
        }
        assert_eq!(parse_mysqld("mysqld: unknown option\n"), None);
    }

    #[test]
    fn versions_of_xtrabackup_are_parsed() {
        let text = "2024-02-05T10:00:00.1-00:00 0 [Note] [MY-011825] [Xtrabackup] recognized server arguments: --datadir=/var/lib/mysql \n\
                    xtrabackup version 8.0.35-31 based on MySQL server 8.0.35 Linux (x86_64) (revision id: 55ec21d7)\n";
        let found = parse_xtrabackup(text).unwrap();
        assert_eq!(
            (found.own.as_str(), found.server),
            ("8.0.35-31", release(8, 0, 35))
        );
        let rc = "xtrabackup version 9.7.1-rc1 based on MySQL server 9.7.1 Linux (x86_64) (revision id: abc)";
        assert_eq!(parse_xtrabackup(rc).unwrap().server, release(9, 7, 1));
        assert_eq!(
            parse_xtrabackup(
                "mariadb-backup based on MariaDB server 10.11.6-MariaDB debian-linux-gnu (x86_64)"
            ),
            None
        );
        assert_eq!(
            parse_xtrabackup("xtrabackup version 8.0.35-31 based on MariaDB server 10.1.2"),
            None
        );
    }

    #[test]
    fn only_the_same_series_and_never_an_older_release() {
        let source = release(8, 4, 5);
        assert!(release(8, 4, 5).may_recover(source));
        assert!(release(8, 4, 6).may_recover(source));
        assert!(!release(8, 4, 4).may_recover(source));
        assert!(!release(8, 3, 9).may_recover(source));
        assert!(!release(9, 4, 5).may_recover(source));
    }

    proptest! {
        #[test]
        fn never_panics(text in ".{0,200}") {
            let _ = (parse_mysqld(&text), parse_xtrabackup(&text), Release::parse(&text));
        }

        #[test]
        fn round_trip(major in 0u32..99, minor in 0u32..99, patch in 0u32..99, tail in "[-+ a-z]?[a-z0-9.-]{0,6}") {
            prop_assume!(!tail.starts_with(|c: char| c.is_ascii_digit()));
            let found = release(major, minor, patch);
            prop_assert_eq!(Release::parse(&format!("{found}{tail}")), Some(found));
        }
    }
}
