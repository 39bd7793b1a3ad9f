//! Who owns the restored files. It matters only to root: nobody else can give files away.

use super::error::{RestoreError, io};
use crate::child;
use std::os::unix::fs::lchown;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// An account of the system, or the numbers of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Owner {
    /// Its name, as `mysqld --user` wants it; `None` where the machine has no name for it, or the group is
    /// another than that account's.
    name: Option<String>,
    uid: u32,
    gid: u32,
}

impl Owner {
    /// The account to give the files to: nobody when this process is not root, else the named one,
    /// else `mysql`.
    pub(crate) fn wanted(user: Option<&str>) -> Result<Option<Self>, RestoreError> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        let name = user.unwrap_or("mysql");
        let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        Self::among(&passwd, directory_service, name).map(Some)
    }

    /// Finds `wanted` (a name, a number, or two numbers) in the lines of `passwd`, then in those of
    /// `service`.
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
        // A container's volume belongs to a number that the host has no name for.
        if let Ok(uid) = wanted.parse() {
            return Ok(Self {
                name: None,
                uid,
                gid: uid,
            });
        }
        Err(refuse(
            "this process is root and there is no such account; name another with --user, or give its number",
        ))
    }

    /// Has a server run as this account.
    pub(crate) fn lend(&self, server: &mut Command) {
        match &self.name {
            // The server becomes it by itself, after it has opened what only root may.
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

    /// Gives one file or directory to the account.
    pub(crate) fn give(&self, path: &Path) -> Result<(), RestoreError> {
        lchown(path, Some(self.uid), Some(self.gid)).map_err(io("change the owner of", path))
    }

    /// Gives a directory and everything below it to the account.
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

/// Accounts may come from LDAP and the like.
fn directory_service(name: &str) -> String {
    child::command("getent")
        .args(["passwd", "--", name])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
        .unwrap_or_default()
}

/// `name:password:uid:gid:...`, by name or number.
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
    fn numbers_need_no_account() {
        let nobody = |_: &str| String::new();
        for (passwd, wanted, uid, gid) in [
            ("", "1001", 1001, 1001),
            ("", "1001:1002", 1001, 1002),
            (PASSWD, "27:99", 27, 99),
            ("", "0", 0, 0),
        ] {
            let owner = Owner::among(passwd, nobody, wanted).unwrap();
            assert_eq!(
                (owner.name, owner.uid, owner.gid),
                (None, uid, gid),
                "{wanted}"
            );
        }
        let service = |_: &str| "ldap:x:500:600::/:/bin/sh".to_owned();
        assert_eq!(Owner::among(PASSWD, service, "ldap").unwrap().gid, 600);
        for wrong in ["mysql", "", ":", "1001:", "1001:mysql", "-1", "99999999999"] {
            let error = Owner::among("", nobody, wrong).unwrap_err().to_string();
            assert!(
                error.contains(wrong) && !error.contains("/etc/passwd"),
                "{error}"
            );
        }
    }
}
