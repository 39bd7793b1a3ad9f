//! Completions for shells and manual pages, for packages.

use super::exit::Failure;
use super::{Cli, output};
use clap::CommandFactory as _;
use clap_complete::Shell;
use std::path::{Path, PathBuf};

/// Arguments of `lsnap completions`.
#[derive(Debug, clap::Args)]
pub(super) struct Completions {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

/// Arguments of `lsnap man`.
#[derive(Debug, clap::Args)]
pub(super) struct Man {
    /// The directory for `lsnap.1`, `lsnap-backup.1` and so on.
    directory: PathBuf,
}

pub(super) fn completions(args: &Completions) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "lsnap", &mut script);
    output::out(&String::from_utf8_lossy(&script));
    Ok(())
}

pub(super) fn man(args: &Man) -> Result<(), Failure> {
    for (name, page) in pages()? {
        let path = args.directory.join(name);
        write(&path, &page)
            .map_err(|e| Failure::internal(format!("cannot write {}: {e}", path.display())))?;
    }
    Ok(())
}

/// Creates a file; an existing one is an error.
fn write(path: &Path, page: &[u8]) -> std::io::Result<()> {
    use std::io::Write as _;
    let mut file = std::fs::File::create_new(path)?;
    file.write_all(page)
}

/// Returns the manual pages with their file names.
fn pages() -> Result<Vec<(String, Vec<u8>)>, Failure> {
    let mut program = Cli::command();
    program.build();
    let mut pages = Vec::new();
    collect(&program, "lsnap", &mut pages)
        .map_err(|e| Failure::internal(format!("cannot create the manual pages: {e}")))?;
    Ok(pages)
}

fn collect(
    command: &clap::Command,
    name: &str,
    pages: &mut Vec<(String, Vec<u8>)>,
) -> std::io::Result<()> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone())
        .title(name)
        .source(concat!("lsnap ", env!("CARGO_PKG_VERSION")))
        .manual("lsnap")
        .render(&mut page)?;
    pages.push((format!("{name}.1"), page));
    let visible = command
        .get_subcommands()
        .filter(|sub| !sub.is_hide_set() && sub.get_name() != "help");
    for sub in visible {
        collect(sub, &format!("{name}-{}", sub.get_name()), pages)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_with_its_options() {
        let pages = pages().unwrap();
        let page = |name: &str| {
            let found = pages.iter().find(|(file, _)| file == name);
            String::from_utf8(found.unwrap_or_else(|| panic!("{name}")).1.clone()).unwrap()
        };
        assert!(page("lsnap.1").contains("lsnap\\-backup(1)"));
        assert!(page("lsnap-backup.1").contains("\\-\\-incremental"));
        assert!(page("lsnap-cloud-put.1").contains("\\-\\-md5"));
        // the foot of each page has the version of the program, not the name of the command
        let foot = concat!("\"lsnap ", env!("CARGO_PKG_VERSION"), "\"");
        assert!(
            page("lsnap-backup.1").contains(foot),
            "{}",
            page("lsnap-backup.1")
        );
    }

    #[test]
    fn existing_pages_are_not_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let args = Man {
            directory: dir.path().to_owned(),
        };
        man(&args).unwrap();
        assert!(man(&args).is_err());
    }
}
