//! The identity of the server, and the check that lsnap supports it.

use std::fmt;
use std::str::FromStr;

use super::version::{NEWEST_TESTED, OLDEST_SUPPORTED, Version};
use super::{Server, ServerError};

impl FromStr for Version {
    type Err = ServerError;
    /// Parses the three numbers at the start; a suffix (`-2`, `-debug`, `-28.1`) is the packager's
    /// and ignored.
    fn from_str(text: &str) -> Result<Self, ServerError> {
        let bad = || ServerError::BadVersion {
            found: text.to_string(),
        };
        let mut parts = text.splitn(3, '.');
        let major = parts.next().and_then(|p| p.parse().ok()).ok_or_else(bad)?;
        let minor = parts.next().and_then(|p| p.parse().ok()).ok_or_else(bad)?;
        let rest = parts.next().ok_or_else(bad)?;
        let digits = rest
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(rest.len());
        let patch = rest[..digits].parse().map_err(|_| bad())?;
        Ok(Self(major, minor, patch))
    }
}

/// The vendor of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Flavor {
    /// Oracle's MySQL, or a distribution's build of it.
    MySql,
    /// Percona Server, Percona XtraDB Cluster.
    Percona,
    /// MariaDB, which is refused.
    MariaDb,
}

impl fmt::Display for Flavor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MySql => "MySQL",
            Self::Percona => "Percona Server",
            Self::MariaDb => "MariaDB",
        })
    }
}

/// The identity of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// `@@server_uuid`; empty for MariaDB, which doesn't have it.
    pub server_uuid: String,
    /// The complete `VERSION()`.
    pub version_string: String,
    /// The numbers in it.
    pub version: Version,
    /// The vendor.
    pub flavor: Flavor,
    /// `@@hostname`.
    pub hostname: String,
    /// `@@port`.
    pub port: u16,
    /// `@@gtid_mode`: `ON`, `OFF`, `ON_PERMISSIVE`, `OFF_PERMISSIVE`.
    pub gtid_mode: String,
    /// Whether the binary log is enabled.
    pub log_bin: bool,
}

impl Server {
    /// Reads the identity of the server. MariaDB is recognised here and refused by
    /// [`Self::check_supported`].
    ///
    /// # Errors
    /// A failed query, or a version that can't be parsed.
    pub fn identity(&mut self) -> Result<Identity, ServerError> {
        let doing = "reading the identity of the server";
        let first = self.row(
            doing,
            "SELECT VERSION(), @@version_comment, @@hostname, @@port, @@log_bin",
        )?;
        let version_string = first.text(0, "VERSION()")?;
        let flavor = flavor_of(&version_string, first.get(1).unwrap_or_default());
        let (server_uuid, gtid_mode) = if flavor == Flavor::MariaDb {
            (String::new(), String::new())
        } else {
            let second = self.row(doing, "SELECT @@server_uuid, @@gtid_mode")?;
            (
                second.text(0, "@@server_uuid")?,
                second.text(1, "@@gtid_mode")?,
            )
        };
        Ok(Identity {
            server_uuid,
            version: version_string.parse()?,
            flavor,
            hostname: first.text(2, "@@hostname")?,
            port: first.number(3, "@@port")?,
            gtid_mode,
            log_bin: first.number::<u8>(4, "@@log_bin")? != 0,
            version_string,
        })
    }

    /// Checks that lsnap supports the server; `allow_untested` accepts a newer series than
    /// [`NEWEST_TESTED`].
    ///
    /// # Errors
    /// [`ServerError::MariaDb`], [`ServerError::TooOld`], [`ServerError::Untested`].
    pub fn check_supported(id: &Identity, allow_untested: bool) -> Result<(), ServerError> {
        let version = id.version_string.clone();
        if id.flavor == Flavor::MariaDb {
            return Err(ServerError::MariaDb { version });
        }
        if id.version < OLDEST_SUPPORTED {
            return Err(ServerError::TooOld { version });
        }
        if (id.version.0, id.version.1) > NEWEST_TESTED && !allow_untested {
            return Err(ServerError::Untested { version });
        }
        Ok(())
    }
}

fn flavor_of(version: &str, comment: &str) -> Flavor {
    let contains = |word: &str| {
        let word = word.to_ascii_lowercase();
        [version, comment]
            .iter()
            .any(|t| t.to_ascii_lowercase().contains(&word))
    };
    if contains("mariadb") {
        Flavor::MariaDb
    } else if contains("percona") {
        Flavor::Percona
    } else {
        Flavor::MySql
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(version_string: &str, comment: &str) -> Identity {
        Identity {
            server_uuid: String::new(),
            version: version_string.parse().unwrap(),
            flavor: flavor_of(version_string, comment),
            version_string: version_string.to_string(),
            hostname: "h".into(),
            port: 1,
            gtid_mode: "ON".into(),
            log_bin: true,
        }
    }

    #[test]
    fn versions_of_all_packagers_are_parsed() {
        for (text, expected) in [
            ("9.7.4-2", Version(9, 7, 4)),
            ("8.0.36-28", Version(8, 0, 36)),
            ("8.0.39-30.1", Version(8, 0, 39)),
            ("8.4.0-1.el9", Version(8, 4, 0)),
            ("26.10.0", Version(26, 10, 0)),
            ("8.0.30debug", Version(8, 0, 30)),
            ("10.11.18-MariaDB-0+deb12u1", Version(10, 11, 18)),
        ] {
            assert_eq!(text.parse::<Version>().unwrap(), expected, "{text}");
        }
        for text in [
            "",
            "9",
            "9.7",
            "9.7.",
            "9.7.x",
            "a.b.c",
            "99999999.1.1",
            "-1.0.0",
            "9..7",
        ] {
            assert!(text.parse::<Version>().is_err(), "{text}");
        }
    }

    #[test]
    fn unsupported_servers_are_refused() {
        let ok = |v: &str, allow| Server::check_supported(&server(v, ""), allow);
        for v in ["8.0.30", "8.0.46", "8.4.6", "9.0.1", "9.7.4-2"] {
            ok(v, false).unwrap();
        }
        for v in ["8.0.29", "5.7.44"] {
            assert!(
                matches!(ok(v, true), Err(ServerError::TooOld { .. })),
                "{v}"
            );
        }
        for v in ["9.8.0", "26.7.0", "10.0.0"] {
            let error = ok(v, false).unwrap_err().to_string();
            assert!(
                error.contains("BackupOptions::allow_untested") && error.contains("test restore"),
                "{error}"
            );
            assert!(error.contains(v) && error.contains("9.7"), "{error}");
            ok(v, true).unwrap();
        }
        let maria = server("11.4.2-MariaDB", "mariadb.org binary distribution");
        let error = Server::check_supported(&maria, true)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("MariaDB") && error.contains("mariadb-backup"),
            "{error}"
        );
    }

    #[test]
    fn flavors_are_recognised() {
        assert_eq!(
            flavor_of("8.0.36-28", "Percona Server (GPL), Release 28"),
            Flavor::Percona
        );
        assert_eq!(flavor_of("9.7.4-2", "(Debian)"), Flavor::MySql);
        assert_eq!(flavor_of("10.6.1-MariaDB", ""), Flavor::MariaDb);
        assert_eq!(flavor_of("5.5.5", "MariaDB Server"), Flavor::MariaDb);
    }
}
