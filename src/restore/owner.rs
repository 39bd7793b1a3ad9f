//! The owner of the restored files. It is used only if this process is root: other users can't
//! change the owner of files.

use super::error::{RestoreError, io};
use crate::child;
use std::fmt;
use std::os::unix::fs::lchown;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// An account of the system, or the numbers of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Owner {
    /// Its name, for `mysqld --user`; `None` if the system has no name for it, or the group is not
    /// that of the account.
    name: Option<String>,
    uid: u32,
    gid: u32,
}

impl Owner {
    /// Returns the account for the files: none if this process is not root, else the named one,
    /// else `mysql`.
    pub(crate) fn wanted(user: Option<&str>) -> Result<Option<Self>, RestoreError> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        let name = user.unwrap_or("mysql");
        let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        Self::among(&passwd, directory_service, name).map(Some)
    }

    /// Looks up `wanted` (a name, a number, or two numbers) in the lines of `passwd`, then in those
    /// of `service`.
    fn among(
        passwd: &str,
        service: impl Fn(&str) -> String,
        wanted: &str,
    ) -> Result<Self, RestoreError> {
        let refuse = |why: &str| RestoreError::Owner {
            user: wanted.to_owned(),
            why: why.to_owned(),
        };
        if let Some((uid, gid)) = wanted.split_once(':') {
            let number = |text: &str| {
                text.parse().map_err(|_| {
                    refuse("expected a name, a number, or two numbers as in 1001:1001")
                })
            };
            let (uid, gid) = (number(uid)?, number(gid)?);
            return Ok(Self {
                name: None,
                uid,
                gid,
            });
        }
        if let Some(owner) = find(passwd, wanted).or_else(|| find(&service(wanted), wanted)) {
            return Ok(owner);
        }
        // A volume of a container can belong to a number for which the host has no name.
        if let Ok(uid) = wanted.parse() {
            return Ok(Self {
                name: None,
                uid,
                gid: uid,
            });
        }
        Err(refuse(
            "this process is root and there is no such account; set RestoreOptions::user to another, or to its number",
        ))
    }

    /// Configures a server to run as this account.
    pub(crate) fn lend(&self, server: &mut Command) {
        match &self.name {
            // The server changes to the account itself, after it has opened files that only root
            // may open.
            Some(name) => {
                server.arg(format!("--user={name}"));
            }
            None if self.uid == 0 => {
                server.arg("--user=root");
            }
            None => {
                server.uid(self.uid).gid(self.gid);
            }
        }
    }

    /// Creates an account of two numbers without a name.
    #[cfg(test)]
    pub(super) const fn numbered(uid: u32, gid: u32) -> Self {
        Self {
            name: None,
            uid,
            gid,
        }
    }

    /// Returns whether the account may enter a directory with this mode, owner and group.
    pub(super) fn can_enter(&self, mode: u32, uid: u32, gid: u32) -> bool {
        if self.uid == 0 {
            return true;
        }
        let bit = if uid == self.uid {
            0o100
        } else if gid == self.gid || self.is_in(gid) {
            0o010
        } else {
            0o001
        };
        mode & bit != 0
    }

    /// Returns whether the account is an additional member of the group. A server that is started
    /// with a number has no additional groups.
    fn is_in(&self, gid: u32) -> bool {
        let Some(name) = &self.name else {
            return false;
        };
        let groups = std::fs::read_to_string("/etc/group").unwrap_or_default();
        is_member(&groups, gid, name)
    }

    /// Changes the owner of one file or directory to the account.
    pub(crate) fn give(&self, path: &Path) -> Result<(), RestoreError> {
        lchown(path, Some(self.uid), Some(self.gid)).map_err(io("change the owner of", path))
    }

    /// Changes the owner of a directory and everything below it to the account.
    pub(crate) fn give_all(&self, directory: &Path) -> Result<(), RestoreError> {
        self.give(directory)?;
        for entry in std::fs::read_dir(directory).map_err(io("list", directory))? {
            let entry = entry.map_err(io("list", directory))?;
            let path = entry.path();
            if entry.file_type().map_err(io("look at", &path))?.is_dir() {
                self.give_all(&path)?;
            } else {
                self.give(&path)?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => f.write_str(name),
            None => write!(f, "{}:{}", self.uid, self.gid),
        }
    }
}

/// Parses `name:password:gid:member,member`.
fn is_member(groups: &str, gid: u32, name: &str) -> bool {
    groups.lines().any(|line| {
        let mut fields = line.split(':').skip(2);
        fields.next().and_then(|text| text.parse().ok()) == Some(gid)
            && fields
                .next()
                .is_some_and(|members| members.split(',').any(|m| m == name))
    })
}

/// Looks up an account of LDAP and the like.
fn directory_service(name: &str) -> String {
    child::command("getent")
        .args(["passwd", "--", name])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
        .unwrap_or_default()
}

/// Finds `name:password:uid:gid:...` by name or number.
fn find(passwd: &str, wanted: &str) -> Option<Owner> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let uid_text = fields.nth(1)?;
        if name != wanted && uid_text != wanted {
            return None;
        }
        Some(Owner {
            name: Some(name.to_owned()),
            uid: uid_text.parse().ok()?,
            gid: fields.next()?.parse().ok()?,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str =
        "root:x:0:0:root:/root:/bin/sh\nbad\nmysql:x:27:28:MySQL:/var/lib/mysql:/bin/false\n";

    #[test]
    fn accounts_are_found_by_name_and_number() {
        let mysql = Owner {
            name: Some("mysql".into()),
            uid: 27,
            gid: 28,
        };
        assert_eq!(find(PASSWD, "mysql"), Some(mysql.clone()));
        assert_eq!(find(PASSWD, "27"), Some(mysql));
        assert_eq!(find(PASSWD, "28"), None);
        assert_eq!(find(PASSWD, "my"), None);
    }

    #[test]
    fn directories_are_entered_by_owner_group_or_others() {
        let owner = Owner::numbered(27, 28);
        for (mode, uid, gid, enters) in [
            (0o700, 27, 0, true),
            (0o070, 27, 28, false),
            (0o750, 0, 28, true),
            (0o701, 0, 28, false),
            (0o711, 0, 0, true),
            (0o750, 0, 0, false),
        ] {
            assert_eq!(
                owner.can_enter(mode, uid, gid),
                enters,
                "{mode:o} {uid} {gid}"
            );
        }
        let groups = "root:x:0:\nbad\nbackup:x:34:mysql,other\n";
        assert!(is_member(groups, 34, "mysql") && is_member(groups, 34, "other"));
        assert!(!is_member(groups, 34, "my") && !is_member(groups, 0, "mysql"));
    }

    #[test]
    fn numbers_need_no_account() {
        let no_service = |_: &str| String::new();
        for (passwd, wanted, uid, gid) in [
            ("", "1001", 1001, 1001),
            ("", "1001:1002", 1001, 1002),
            (PASSWD, "27:99", 27, 99),
            ("", "0", 0, 0),
        ] {
            let owner = Owner::among(passwd, no_service, wanted).unwrap();
            assert_eq!(
                (owner.name, owner.uid, owner.gid),
                (None, uid, gid),
                "{wanted}"
            );
        }
        let service = |_: &str| "ldap:x:500:600::/:/bin/sh".to_owned();
        assert_eq!(Owner::among(PASSWD, service, "ldap").unwrap().gid, 600);
        for wrong in ["mysql", "", ":", "1001:", "1001:mysql", "-1", "99999999999"] {
            let error = Owner::among("", no_service, wrong).unwrap_err().to_string();
            assert!(
                error.contains(wrong) && !error.contains("/etc/passwd"),
                "{error}"
            );
        }
    }
}
