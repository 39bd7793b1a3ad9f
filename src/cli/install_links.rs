//! `lsnap install-links`: links by which this program is called under the names of xtrabackup's programs.

use super::exit::Failure;
use super::exit_code::ExitCode;
use super::{Context, output};
use crate::counted::count;
use serde::Serialize;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// The names that the program has.
pub(crate) const NAMES: [&str; 4] = ["xtrabackup", "xbstream", "xbcloud", "xbcrypt"];

/// Arguments of `lsnap install-links`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The directory for the links, which must exist: one of the PATH.
    directory: PathBuf,
    /// Replace programs and links of these names that are not this program.
    #[arg(long)]
    force: bool,
}

/// The result of `install-links`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct LinksDocument {
    /// The links.
    links: Vec<Link>,
}

/// A link.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Link {
    /// The name by which lsnap is called.
    name: &'static str,
    /// The path of the link.
    path: PathBuf,
    /// The target of the link: the path of this program; only its name if it is in the same directory.
    target: PathBuf,
    /// What was done.
    state: LinkState,
}

/// What was done with a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
enum LinkState {
    /// It was made.
    Created,
    /// It took the place of another file, by `--force`.
    Replaced,
    /// It was there already.
    Unchanged,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let program = std::env::current_exe()
        .map_err(|error| Failure::internal(format!("cannot find the path of lsnap: {error}")))?;
    let document = install(&program, &args.directory, args.force)?;
    context.print(&document, text);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directory = args.directory.canonicalize().ok();
    let is_there = std::env::split_paths(&path).any(|part| part.canonicalize().ok() == directory);
    if !is_there && !context.quiet {
        output::err(&format!(
            "warning: {} is not in the PATH\n",
            args.directory.display()
        ));
    }
    Ok(())
}

fn text(document: &LinksDocument) -> String {
    let mut out = String::new();
    for link in &document.links {
        let state = match link.state {
            LinkState::Created => "created",
            LinkState::Replaced => "replaced",
            LinkState::Unchanged => "unchanged",
        };
        out += &format!(
            "{} -> {} ({state})\n",
            link.path.display(),
            link.target.display()
        );
    }
    out
}

/// Makes the links to `program`. All places are looked at before the first link is made.
fn install(program: &Path, directory: &Path, force: bool) -> Result<LinksDocument, Failure> {
    let failed = |what: &str, path: &Path| {
        let text = format!("cannot {what} {}", path.display());
        move |error: std::io::Error| Failure::internal(format!("{text}: {error}"))
    };
    let real = directory
        .canonicalize()
        .map_err(failed("open the directory", directory))?;
    // A directory with the program in it can be moved or copied into an image as a whole.
    let target = match program.parent() {
        Some(parent) if parent == real => program.file_name().map_or(program, Path::new),
        _ => program,
    };
    let mut links = Vec::new();
    let mut others = Vec::new();
    for name in NAMES {
        let path = directory.join(name);
        let state = match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => LinkState::Created,
            Err(error) => return Err(failed("look at", &path)(error)),
            Ok(found) if found.is_dir() => {
                return Err(conflict(format!(
                    "{} is a directory; name another directory for the links",
                    path.display()
                )));
            }
            Ok(_) if real.join(name) == program => {
                return Err(conflict(format!(
                    "{} is this program itself; rename it to lsnap first",
                    path.display()
                )));
            }
            Ok(found) => {
                let leads_here =
                    found.is_symlink() && path.canonicalize().is_ok_and(|leads| leads == program);
                if leads_here {
                    // Also by another way, which can lead to the next version after an upgrade.
                    LinkState::Unchanged
                } else {
                    others.push(path.display().to_string());
                    LinkState::Replaced
                }
            }
        };
        links.push(Link {
            name,
            path,
            target: target.to_path_buf(),
            state,
        });
    }
    if !others.is_empty() && !force {
        return Err(conflict(format!(
            "{} not this program: {}; remove {}, or replace {} with --force",
            if others.len() == 1 {
                "1 file is".to_owned()
            } else {
                format!("{} are", count(others.len(), "file"))
            },
            others.join(", "),
            if others.len() == 1 { "it" } else { "them" },
            if others.len() == 1 { "it" } else { "them" },
        )));
    }
    for link in &links {
        match link.state {
            LinkState::Unchanged => {}
            LinkState::Created => {
                symlink(target, &link.path).map_err(failed("make the link", &link.path))?;
            }
            LinkState::Replaced => {
                // At no time is there no program of this name.
                let new = directory.join(format!(".{}.lsnap-{}", link.name, std::process::id()));
                symlink(target, &new)
                    .and_then(|()| fs::rename(&new, &link.path))
                    .map_err(|error| {
                        let _ = fs::remove_file(&new);
                        failed("replace", &link.path)(error)
                    })?;
            }
        }
    }
    Ok(LinksDocument { links })
}

fn conflict(text: String) -> Failure {
    Failure::with_code(ExitCode::Conflict, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn states(document: &LinksDocument) -> Vec<LinkState> {
        document.links.iter().map(|link| link.state).collect()
    }

    #[test]
    fn links_are_made_once_and_programs_stay() {
        let room = tempfile::tempdir().unwrap();
        let room = room.path().canonicalize().unwrap();
        let (program, bin) = (room.join("lsnap"), room.join("bin"));
        fs::write(&program, "lsnap").unwrap();
        fs::create_dir(&bin).unwrap();
        fs::write(bin.join("xbcloud"), "the original").unwrap();
        assert!(install(&program, &bin, false).is_err());
        assert_eq!(fs::read_dir(&bin).unwrap().count(), 1, "nothing was made");
        let made = install(&program, &bin, true).unwrap();
        use LinkState::{Created, Replaced, Unchanged};
        assert_eq!(states(&made), [Created, Created, Replaced, Created]);
        for name in NAMES {
            assert_eq!(fs::read_link(bin.join(name)).unwrap(), program, "{name}");
        }
        assert_eq!(
            states(&install(&program, &bin, false).unwrap()),
            [Unchanged; 4]
        );
        assert_eq!(fs::read_dir(&bin).unwrap().count(), 4);
        // In its own directory: relative.
        install(&program, &room, false).unwrap();
        assert_eq!(
            fs::read_link(room.join("xtrabackup")).unwrap(),
            Path::new("lsnap")
        );
        // A link to another place, and one that leads nowhere.
        fs::remove_file(bin.join("xbstream")).unwrap();
        symlink("/nowhere", bin.join("xbstream")).unwrap();
        assert!(install(&program, &bin, false).is_err());
        fs::remove_file(bin.join("xbstream")).unwrap();
        fs::create_dir(bin.join("xbstream")).unwrap();
        assert!(install(&program, &bin, true).is_err());
    }
}
