//! Who applies the redo log: an `xtrabackup` or a `mysqld`, and why that one.

use super::error::RestoreError;
use super::version::{self, Flavour, Release};
use super::{ApplierChoice, RestoreOptions};
use crate::child;
use crate::manifest::ServerIdentity;
use serde::Serialize;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// A program that can apply redo.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ApplierKind {
    /// `xtrabackup --prepare`.
    Xtrabackup,
    /// The crash recovery of a server, started isolated on the merged directory.
    Mysqld,
}

/// The chosen program.
#[derive(Debug, Clone, Serialize)]
pub struct ApplierPlan {
    /// Which kind.
    pub kind: ApplierKind,
    /// Where it lies.
    pub program: PathBuf,
    /// The server release whose recovery code it is.
    pub version: String,
    /// Why it and no other.
    pub reason: String,
}

impl fmt::Display for ApplierPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            ApplierKind::Xtrabackup => "xtrabackup",
            ApplierKind::Mysqld => "mysqld",
        };
        write!(
            f,
            "{kind} {} ({}): {}",
            self.version,
            self.program.display(),
            self.reason
        )
    }
}

/// Where a server program lies when it is not on the PATH.
const SERVER_DIRECTORIES: [&str; 4] = [
    "/usr/sbin",
    "/usr/libexec",
    "/usr/local/sbin",
    "/usr/local/mysql/bin",
];

/// Chooses the program that would apply the redo log of a server's backups.
///
/// # Errors
/// [`RestoreError::NoApplier`], as for a restore.
pub fn applier_of(
    flavor: &str,
    version: &str,
    options: &RestoreOptions,
) -> Result<ApplierPlan, RestoreError> {
    let server = ServerIdentity {
        flavor: flavor.to_owned(),
        version: version.to_owned(),
        ..ServerIdentity::blank()
    };
    choose(&server, options)
}

/// Chooses a program for a backup of `server`.
///
/// # Errors
/// [`RestoreError::NoApplier`] naming the release needed and everything that was looked at.
pub(crate) fn choose(
    server: &ServerIdentity,
    options: &RestoreOptions,
) -> Result<ApplierPlan, RestoreError> {
    let source = Source::of(server)?;
    let mut looked = Vec::new();
    if options.applier != ApplierChoice::Mysqld {
        for program in candidates("xtrabackup", options.xtrabackup.as_deref()) {
            match source.xtrabackup(&program) {
                Ok(plan) => return Ok(plan),
                Err(why) => looked.push(format!("{}: {why}", program.display())),
            }
        }
        if looked.is_empty() {
            looked.push("no xtrabackup on the PATH".to_owned());
        }
    }
    if options.applier != ApplierChoice::Xtrabackup {
        let before = looked.len();
        let strict = options.applier == ApplierChoice::Auto && options.mysqld.is_none();
        for program in candidates("mysqld", options.mysqld.as_deref()) {
            match source.mysqld(&program, strict) {
                Ok(plan) => return Ok(plan),
                Err(why) => looked.push(format!("{}: {why}", program.display())),
            }
        }
        if looked.len() == before {
            looked.push(format!(
                "no mysqld on the PATH or in {}",
                SERVER_DIRECTORIES.join(", ")
            ));
        }
    }
    Err(RestoreError::NoApplier {
        server: format!("{} {}", source.flavour, server.version),
        needed: source.needed(options.applier),
        looked: looked.join("; "),
    })
}

/// The server that wrote the redo.
struct Source {
    flavour: Flavour,
    release: Release,
}

impl Source {
    fn of(server: &ServerIdentity) -> Result<Self, RestoreError> {
        let release = Release::parse(&server.version).ok_or_else(|| RestoreError::NoApplier {
            server: server.version.clone(),
            needed: "a server version that can be read (major.minor.patch)".to_owned(),
            looked: "the manifest".to_owned(),
        })?;
        Ok(Self {
            flavour: Flavour::of(&server.flavor),
            release,
        })
    }

    fn needed(&self, choice: ApplierChoice) -> String {
        let Release {
            major,
            minor,
            patch,
        } = self.release;
        let server = format!(
            "a {} server program (mysqld) {major}.{minor}.N with N >= {patch} (--mysqld)",
            self.flavour
        );
        let tool =
            format!("an xtrabackup based on {major}.{minor}.N with N >= {patch} (--xtrabackup)");
        match choice {
            ApplierChoice::Auto => format!("{tool}, or {server}"),
            ApplierChoice::Xtrabackup => tool,
            ApplierChoice::Mysqld => server,
        }
    }

    fn xtrabackup(&self, program: &Path) -> Result<ApplierPlan, String> {
        let output = ask_version(program)?;
        let found = version::parse_xtrabackup(&output).ok_or_else(|| {
            format!(
                "is no Percona XtraBackup, it says {:?}",
                first_line(&output)
            )
        })?;
        if !found.server.may_recover(self.release) {
            return Err(format!("is based on {}", found.server));
        }
        Ok(ApplierPlan {
            kind: ApplierKind::Xtrabackup,
            program: program.to_path_buf(),
            version: found.server.to_string(),
            reason: format!(
                "xtrabackup {} carries the recovery of {}, the backup is of {}",
                found.own, found.server, self.release
            ),
        })
    }

    /// `strict`: the maker must be the same, because nobody named this program.
    fn mysqld(&self, program: &Path, strict: bool) -> Result<ApplierPlan, String> {
        let output = ask_version(program)?;
        let (flavour, release) = version::parse_mysqld(&output)
            .ok_or_else(|| format!("is no server program, it says {:?}", first_line(&output)))?;
        if flavour == Flavour::Mariadb {
            return Err(format!(
                "is MariaDB {release}, whose redo log is another one"
            ));
        }
        if strict && flavour != self.flavour {
            return Err(format!(
                "is {flavour} {release}, name it with --mysqld to use it"
            ));
        }
        if !release.may_recover(self.release) {
            return Err(format!("is {flavour} {release}"));
        }
        Ok(ApplierPlan {
            kind: ApplierKind::Mysqld,
            program: program.to_path_buf(),
            version: release.to_string(),
            reason: format!(
                "{flavour} {release} recovers what {} {} wrote",
                self.flavour, self.release
            ),
        })
    }
}

/// The named program alone, or all of that name on the PATH and in the usual places.
fn candidates(name: &str, named: Option<&Path>) -> Vec<PathBuf> {
    if let Some(program) = named {
        return vec![program.to_path_buf()];
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut found: Vec<PathBuf> = Vec::new();
    let usual = SERVER_DIRECTORIES.iter().map(PathBuf::from);
    for directory in std::env::split_paths(&path).chain(usual) {
        let program = directory.join(name);
        if directory.is_absolute() && program.is_file() && !found.contains(&program) {
            found.push(program);
        }
    }
    found
}

/// The answer to `--version`, from either stream.
fn ask_version(program: &Path) -> Result<String, String> {
    // xtrabackup and mysqld read option files before anything else; one with a word that they do not
    // know must not make them unfit.
    let output = child::command(program)
        .args(["--no-defaults", "--version"])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cannot be started: {error}"))?;
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    if output.status.success() {
        Ok(text)
    } else {
        Err(format!(
            "--version ends with {}: {:?}",
            output.status,
            first_line(&text)
        ))
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or("nothing")
}
