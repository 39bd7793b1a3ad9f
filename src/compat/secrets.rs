//! Secrets on the command line. Callers of xtrabackup give passwords and keys there, where every user of the machine
//! can read them in the list of processes. As the original does, lsnap overwrites them as soon as it has read them.

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;

/// The fields of `/proc/PID/stat` after the name of the command, which is in parentheses: `arg_start` and `arg_end`
/// are the fields 48 and 49, counted from 1, and the first one after the name is 3 (`proc_pid_stat(5)`).
const ARG_START: usize = 48 - 3;

/// The options whose values are secrets, without `--`, and the length of their shortest unambiguous prefix.
const OPTIONS: [(&str, usize); 16] = [
    ("password", 3),
    ("encrypt-key", 11),
    ("transition-key", 2),
    // Of xbcloud.
    ("s3-access-key", 5),
    ("s3-secret-key", 6),
    ("s3-session-token", 6),
    ("google-access-key", 8),
    ("google-secret-key", 10),
    ("google-session-token", 10),
    ("azure-storage-account", 7),
    ("azure-access-key", 7),
    ("swift-key", 7),
    ("swift-password", 8),
    ("swift-tenant", 7),
    ("swift-tenant-id", 7),
    ("header", 3),
];

/// The one-letter options of a program.
#[derive(Debug, Clone, Copy)]
pub(super) struct Letters {
    /// Options with a secret as the value.
    pub(super) secrets: &'static [u8],
    /// Options without a value, which can be joined with others.
    pub(super) flags: &'static [u8],
}

/// Of xtrabackup.
pub(super) const XTRABACKUP_LETTERS: Letters = Letters {
    secrets: b"p",
    flags: b"v?",
};
/// Of xbcrypt.
pub(super) const XBCRYPT_LETTERS: Letters = Letters {
    secrets: b"k",
    flags: b"dvV?",
};
/// Of xbstream.
pub(super) const XBSTREAM_LETTERS: Letters = Letters {
    secrets: b"k",
    flags: b"cxtvP?",
};

/// Of xbcloud.
pub(super) const XBCLOUD_LETTERS: Letters = Letters {
    secrets: b"",
    flags: b"V?",
};

/// Overwrites the values of secret options in the list of processes. `letters`: the one-letter options with secrets,
/// except `-p`, whose value is in the same word.
pub(super) fn blank(args: &[OsString], letters: Letters) {
    let places = places(args, letters);
    if !places.is_empty()
        && let Err(error) = overwrite(args, &places)
    {
        super::log::warning(&format!(
            "the password or key on the command line stays visible in the list of processes: {error}; give it in an \
             option file or a key file"
        ));
    }
}

/// Returns the arguments as text, with `...` instead of secrets.
pub(super) fn masked(args: &[OsString], letters: Letters) -> String {
    let places = places(args, letters);
    let words = args.iter().enumerate().map(|(index, arg)| {
        match places.iter().find(|place| place.0 == index) {
            Some((_, from)) => {
                let kept = arg.as_bytes().get(..*from).unwrap_or_default();
                String::from_utf8_lossy(kept).into_owned() + "..."
            }
            None => arg.to_string_lossy().into_owned(),
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

/// Returns where the secrets are: the index of an argument, and the offset in it.
fn places(args: &[OsString], letters: Letters) -> Vec<(usize, usize)> {
    let mut places = Vec::new();
    for (index, arg) in args.iter().enumerate() {
        let bytes = arg.as_bytes();
        if bytes == b"--" {
            break;
        }
        if let Some(long) = bytes.strip_prefix(b"--") {
            let end = long.iter().position(|byte| *byte == b'=');
            let name =
                String::from_utf8_lossy(&long[..end.unwrap_or(long.len())]).replace('_', "-");
            let name = name.strip_prefix("loose-").unwrap_or(&name);
            let is_secret =
                |(option, least): &(&str, usize)| name.len() >= *least && option.starts_with(name);
            if !OPTIONS.iter().any(is_secret) {
                continue;
            }
            match end {
                Some(end) => places.push((index, "--".len() + end + 1)),
                // The value of --password is only taken after `=`; a word that follows was meant as one.
                None if "password".starts_with(name) && is_option(args.get(index + 1)) => {}
                None => places.push((index + 1, 0)),
            }
        } else if let Some(word) = bytes.strip_prefix(b"-") {
            // Flags can be joined before the option.
            let flags = word
                .iter()
                .take_while(|c| letters.flags.contains(c))
                .count();
            let Some(letter) = word.get(flags).filter(|c| letters.secrets.contains(c)) else {
                continue;
            };
            match word.len() - flags {
                1 if *letter == b'p' && is_option(args.get(index + 1)) => {}
                1 => places.push((index + 1, 0)),
                _ => places.push((index, flags + 2)),
            }
        }
    }
    places.retain(|(index, from)| args.get(*index).is_some_and(|arg| arg.len() > *from));
    places
}

/// Returns whether a whole argument is a secret.
pub(super) fn has_secret(args: &[OsString], word: &OsStr, letters: Letters) -> bool {
    let places = places(args, letters);
    let mut whole = places.iter().filter(|(_, from)| *from == 0);
    whole.any(|(index, _)| args.get(*index).is_some_and(|arg| arg == word))
}

fn is_option(arg: Option<&OsString>) -> bool {
    arg.is_some_and(|arg| arg.as_bytes().starts_with(b"-"))
}

/// Overwrites the arguments of this process from these offsets on with `x`. Rust's own copies of the arguments are
/// made when they are asked for; the area of the kernel is what `ps` shows.
fn overwrite(args: &[OsString], places: &[(usize, usize)]) -> io::Result<()> {
    let start = arg_start()?;
    let shown = std::fs::read("/proc/self/cmdline")?;
    let mut offset = 0;
    let mut starts = Vec::new();
    for arg in args {
        starts.push(offset);
        offset += arg.len() + 1;
    }
    let same = args
        .iter()
        .zip(&starts)
        .all(|(arg, at)| shown.get(*at..at + arg.len()) == Some(arg.as_bytes()));
    if !same {
        return Err(io::Error::other("the process has other arguments"));
    }
    let memory: File = OpenOptions::new().write(true).open("/proc/self/mem")?;
    for (index, from) in places {
        let length = args[*index].len() - from;
        let at = start + (starts[*index] + from) as u64;
        memory.write_all_at(&vec![b'x'; length], at)?;
    }
    Ok(())
}

/// Returns the address of the arguments of this process.
fn arg_start() -> io::Result<u64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let after_name = stat.rsplit_once(") ").map(|(_, rest)| rest);
    after_name
        .and_then(|rest| rest.split_ascii_whitespace().nth(ARG_START))
        .and_then(|field| field.parse().ok())
        .filter(|start| *start != 0)
        .ok_or_else(|| io::Error::other("/proc/self/stat has no address of the arguments"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(args: &[&str]) -> Vec<(usize, usize)> {
        let args: Vec<OsString> = args.iter().map(OsString::from).collect();
        places(&args, XTRABACKUP_LETTERS)
    }

    #[test]
    fn the_places_of_secrets() {
        assert_eq!(found(&["x", "--password=abc"]), [(1, 11)]);
        assert_eq!(found(&["x", "--pass=abc", "-pabc"]), [(1, 7), (2, 2)]);
        assert_eq!(found(&["x", "--encrypt_key", "abc"]), [(2, 0)]);
        assert_eq!(found(&["x", "--encrypt-key=abc"]), [(1, 14)]);
        assert_eq!(found(&["x", "--transition-key=abc"]), [(1, 17)]);
        assert_eq!(found(&["x", "--loose-password=abc"]), [(1, 17)]);
        assert_eq!(found(&["x", "-vpabc"]), [(1, 3)]);
        let args = ["x", "-dk", "abc", "-dkabc"].map(OsString::from);
        assert_eq!(places(&args, XBCRYPT_LETTERS), [(2, 0), (3, 3)]);
    }

    #[test]
    fn the_places_of_the_secrets_of_xbcloud() {
        let args = [
            "xbcloud",
            "put",
            "--s3-access-key=abc",
            "--s3_secret_key",
            "abc",
            "--s3-session=abc",
            "--azure-a=abc",
            "--google-secret-key=abc",
            "--header=Authorization: abc",
            "--s3-endpoint=http://x",
            "--s3-region=us-east-1",
            "name",
        ];
        let args: Vec<OsString> = args.iter().map(OsString::from).collect();
        assert_eq!(
            masked(&args, XBCLOUD_LETTERS),
            "xbcloud put --s3-access-key=... --s3_secret_key ... --s3-session=... --azure-a=... \
             --google-secret-key=... --header=... --s3-endpoint=http://x --s3-region=us-east-1 name"
        );
    }

    #[test]
    fn a_command_line_without_its_secrets() {
        let args = [
            "x",
            "--user=root",
            "--password=abc",
            "-pabc",
            "--encrypt-key",
            "abc",
            "-p",
            "abc",
            "--pass",
            "abc",
            "-p",
            "--stream",
        ];
        let args: Vec<OsString> = args.iter().map(OsString::from).collect();
        assert_eq!(
            masked(&args, XTRABACKUP_LETTERS),
            "x --user=root --password=... -p... --encrypt-key ... -p ... --pass ... -p --stream"
        );
    }

    #[test]
    fn no_other_value_is_overwritten() {
        assert!(found(&["x", "--password", "--backup", "-p", "-S"]).is_empty());
        assert!(found(&["x", "--encrypt-key-file=/key", "--encrypt=AES256"]).is_empty());
        assert!(found(&["x", "--", "--password=abc"]).is_empty());
        assert!(found(&["x", "--password="]).is_empty());
        assert!(found(&["x", "--parallel=4", "--port=3306"]).is_empty());
    }
}
