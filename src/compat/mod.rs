//! The programs of Percona XtraBackup under their own names, for the scripts, operators and wrappers that
//! call them: `xtrabackup`, `xbstream`, `xbcloud` and `xbcrypt`. lsnap is the program by whose name it was called
//! (a link), or that its first argument names (`lsnap xtrabackup ...`).
//!
//! This layer translates options, output and exit codes. The work is done by the library.

mod log;
mod option_names;
mod options;
mod secrets;
mod version;
mod xbcloud;
mod xbcrypt;
mod xbstream;
mod xtrabackup;

use crate::{child, cli};
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;

/// A program that lsnap can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Program {
    Lsnap,
    Xtrabackup,
    Xbstream,
    Xbcloud,
    Xbcrypt,
}

impl Program {
    fn named(name: &OsStr) -> Option<Self> {
        match name.to_str()? {
            "xtrabackup" => Some(Self::Xtrabackup),
            "xbstream" => Some(Self::Xbstream),
            "xbcloud" => Some(Self::Xbcloud),
            "xbcrypt" => Some(Self::Xbcrypt),
            _ => None,
        }
    }

    /// Returns the program that these arguments call, and the number of arguments before its own.
    fn of(args: &[OsString]) -> (Self, usize) {
        let called = args.first().and_then(|name| Path::new(name).file_name());
        if let Some(program) = called.and_then(Self::named) {
            return (program, 1);
        }
        match args.get(1).and_then(|name| Self::named(name)) {
            // `lsnap xbstream` is a command of lsnap, with options of lsnap.
            Some(Self::Xbstream) | None => (Self::Lsnap, 1),
            Some(program) => (program, 2),
        }
    }
}

/// Runs the program with the arguments of the process.
#[must_use]
pub fn main() -> ExitCode {
    child::obey_tie();
    let args: Vec<OsString> = std::env::args_os().collect();
    let (program, before) = Program::of(&args);
    match program {
        Program::Lsnap => cli::main(&args),
        Program::Xbstream => xbstream::main(&args, before),
        Program::Xtrabackup => xtrabackup::main(&args, before),
        Program::Xbcloud => xbcloud::main(&args, before),
        Program::Xbcrypt => xbcrypt::main(&args, before),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_link_of_an_installation_is_a_program() {
        for name in cli::LINKS {
            assert!(Program::named(OsStr::new(name)).is_some(), "{name}");
        }
    }

    #[test]
    fn the_name_decides_which_program_it_is() {
        let of = |args: &[&str]| {
            let args: Vec<OsString> = args.iter().map(OsString::from).collect();
            Program::of(&args)
        };
        assert_eq!(
            of(&["/usr/bin/xtrabackup", "--backup"]),
            (Program::Xtrabackup, 1)
        );
        assert_eq!(of(&["/x/xbcloud", "put"]), (Program::Xbcloud, 1));
        assert_eq!(of(&["lsnap", "xbcloud", "put"]), (Program::Xbcloud, 2));
        assert_eq!(of(&["xbcrypt"]), (Program::Xbcrypt, 1));
        assert_eq!(of(&["xbstream", "-x"]), (Program::Xbstream, 1));
        assert_eq!(
            of(&["lsnap", "xtrabackup", "--backup"]),
            (Program::Xtrabackup, 2)
        );
        assert_eq!(of(&["lsnap", "xbstream", "-x"]), (Program::Lsnap, 1));
        assert_eq!(of(&["lsnap", "list"]), (Program::Lsnap, 1));
        assert_eq!(of(&[]), (Program::Lsnap, 1));
    }
}
