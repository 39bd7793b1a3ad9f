//! Who owns the restored files. It matters only to root: nobody else can give files away.

use super::error::{RestoreError, io};
use std::os::unix::fs::lchown;
use std::path::Path;
use std::process::{Command, Stdio};

/// An account of the system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Owner {
    /// Its name, as `mysqld --user` wants it.
    pub(crate) name: String,
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
        find(&passwd, name)
            .or_else(|| find(&directory_service(name), name))
            .map(Some)
            .ok_or_else(|| RestoreError::Target {
                path: "/etc/passwd".into(),
                why: format!(
                    "this process is root and there is no account {name:?} to own the files; name one with --user"
                ),
            })
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
    Command::new("getent")
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
            name: name.to_owned(),
            uid: uid_text.parse().ok()?,
            gid: fields.next()?.parse().ok()?,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_found_by_name_and_number() {
        let passwd =
            "root:x:0:0:root:/root:/bin/sh\nbad\nmysql:x:27:28:MySQL:/var/lib/mysql:/bin/false\n";
        let mysql = Owner {
            name: "mysql".into(),
            uid: 27,
            gid: 28,
        };
        assert_eq!(find(passwd, "mysql"), Some(mysql.clone()));
        assert_eq!(find(passwd, "27"), Some(mysql));
        assert_eq!(find(passwd, "28"), None);
        assert_eq!(find(passwd, "my"), None);
    }
}
