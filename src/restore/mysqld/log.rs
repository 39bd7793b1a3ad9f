//! The error log of the recovering server: its progress and its errors.

use crate::innodb::SpaceId;
use crate::progress::{Phase, Progress};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// Bytes of the log that an error contains.
const TAIL: u64 = 4096;
/// Number of lines of the level ERROR that are kept of each kind.
const ERRORS: usize = 20;
/// Bytes that one poll reads at most.
const AT_ONCE: u64 = 64 << 10;
/// Words of lines about the progress of recovery.
const PROGRESS: [&str; 5] = [
    "recovery",
    "Apply",
    "batch",
    "ollback",
    "ready for connections",
];

/// Reads the log as it grows.
pub(super) struct LogWatch {
    path: PathBuf,
    at: u64,
    partial: String,
    /// The LSN up to which recovery has read the redo log.
    scanned: u64,
}

impl LogWatch {
    /// Creates a watch; `from` is the LSN at which the redo log begins.
    pub(super) fn new(path: &Path, from: u64) -> Self {
        Self {
            path: path.to_path_buf(),
            at: 0,
            partial: String::new(),
            scanned: from,
        }
    }

    /// Passes on new lines about the progress of recovery. If the log can't be read now, it is read
    /// by a later call.
    pub(super) fn poll(&mut self, progress: &dyn Progress) {
        let mut bytes = Vec::new();
        let read = File::open(&self.path).and_then(|mut file| {
            file.seek(SeekFrom::Start(self.at))?;
            file.take(AT_ONCE).read_to_end(&mut bytes)
        });
        let Ok(read) = read else {
            return;
        };
        self.at += read as u64;
        self.partial.push_str(&String::from_utf8_lossy(&bytes));
        while let Some(end) = self.partial.find('\n') {
            let line: String = self.partial.drain(..=end).collect();
            if let Some(lsn) = scanned(&line) {
                progress.advance(Phase::Apply, lsn.saturating_sub(self.scanned));
                self.scanned = self.scanned.max(lsn);
            } else if PROGRESS.iter().any(|word| line.contains(word)) {
                progress.note(message(&line));
            }
        }
        // A server doesn't write such a long line.
        if self.partial.len() > AT_ONCE as usize {
            self.partial.clear();
        }
    }
}

/// Returns the text of a line after its time, thread and tags.
fn message(line: &str) -> &str {
    line.rsplit_once("] ")
        .map_or(line, |(_, message)| message)
        .trim()
}

/// Errors of InnoDB that don't concern the data. The tables of the recovered server, its position
/// and the end of its redo log are checked in any case.
///
/// | code | words | when |
/// |---|---|---|
/// | MY-013589 | `@@@/` | at each start of a server with a schema whose name Windows reserves (`aux`, directory `aux@@@`) |
const HARMLESS: [(&str, &str); 1] = [("MY-013589", "@@@/")];

/// The lines of the level ERROR.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Errors {
    /// Of InnoDB: the data are not reliable.
    pub(super) fatal: Vec<String>,
    /// Of InnoDB, if known to be harmless or accepted by the caller; and of the layers above it,
    /// which are shown as warnings (MySQL 9.7 logs "Invalid (old?) table or database name" for a
    /// table `#x` whose transaction is rolled back, without any effect).
    pub(super) reported: Vec<String>,
}

/// Reads the errors in a log; `accepted` are codes (`MY-013589`) of errors that are not fatal.
///
/// A file that InnoDB can't find causes three errors of one thread; only the last one names it. They are left out if
/// `may_lack` returns true for its path.
pub(super) fn errors(path: &Path, accepted: &[String], may_lack: &dyn Fn(&str) -> bool) -> Errors {
    let mut errors = Errors::default();
    let all = lines(path).filter(|line| line.contains(" [ERROR] "));
    for line in without_missing(all, may_lack) {
        let code = code(&line);
        let passed = code.is_some_and(|code| {
            let known =
                |(harmless, words): &(&str, &str)| *harmless == code && line.contains(words);
            HARMLESS.iter().any(known) || accepted.iter().any(|accepted| accepted == code)
        });
        let list = match line.contains(" [InnoDB] ") && !passed {
            true => &mut errors.fatal,
            false => &mut errors.reported,
        };
        if list.len() < ERRORS {
            list.push(line);
        }
    }
    errors
}

/// Codes of the first two of the errors about a missing file.
const BEFORE: [&str; 2] = ["MY-012592", "MY-012593"];
/// The code of the last one, which has the path.
const CANNOT_OPEN: &str = "MY-012216";

fn without_missing(
    all: impl Iterator<Item = String>,
    may_lack: &dyn Fn(&str) -> bool,
) -> impl Iterator<Item = String> {
    let mut left = Vec::new();
    // The first errors of each thread that wait for the last one.
    let mut waiting: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in all {
        let thread = line.split(' ').nth(1).unwrap_or_default().to_owned();
        match code(&line) {
            Some(code) if BEFORE.contains(&code) => waiting.entry(thread).or_default().push(line),
            Some(CANNOT_OPEN) if quoted(&line).is_some_and(may_lack) => {
                waiting.remove(&thread);
            }
            _ => {
                left.extend(waiting.remove(&thread).into_iter().flatten());
                left.push(line);
            }
        }
        // Errors without a path.
        if waiting.values().map(Vec::len).sum::<usize>() > ERRORS * BEFORE.len() {
            left.extend(std::mem::take(&mut waiting).into_values().flatten());
        }
    }
    left.extend(waiting.into_values().flatten());
    left.into_iter()
}

/// Returns the first text in quotes.
fn quoted(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once('\'')?;
    rest.split_once('\'').map(|(text, _)| text)
}

/// A tablespace of the dictionary whose file the server didn't find.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct MissingFile {
    pub(super) space: SpaceId,
    /// The path in the dictionary.
    pub(super) path: String,
}

/// Returns the tablespaces whose files the server didn't find, or didn't recognise.
pub(super) fn missing_files(path: &Path) -> impl Iterator<Item = MissingFile> {
    lines(path).filter_map(|line| missing_file(&line))
}

fn missing_file(line: &str) -> Option<MissingFile> {
    let rest = line
        .split_once("] Tablespace ")?
        .1
        .strip_suffix(" is missing!")?;
    let (space, rest) = rest.split_once(", name '")?;
    let (_, path) = rest.split_once("', file '")?;
    Some(MissingFile {
        space: SpaceId(space.parse().ok()?),
        path: path.strip_suffix('\'')?.to_owned(),
    })
}

/// Returns whether an error has these words.
pub(super) fn has_error(path: &Path, words: &str) -> bool {
    lines(path).any(|line| line.contains(" [ERROR] ") && line.contains(words))
}

/// Returns whether InnoDB was shut down cleanly.
pub(super) fn shut_down(path: &Path) -> bool {
    lines(path).any(|line| line.contains("[InnoDB] Shutdown completed"))
}

/// Returns the code of a line, e.g. `MY-013589`.
pub(super) fn code(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once("[MY-")?;
    let digits = rest.split_once(']')?.0;
    let start = line.len() - rest.len() - "MY-".len();
    digits
        .bytes()
        .all(|b| b.is_ascii_digit())
        .then(|| &line[start..start + "MY-".len() + digits.len()])
}

/// Returns the LSN up to which the server scanned the redo log, according to its messages.
pub(super) fn scanned_to(path: &Path) -> Option<u64> {
    lines(path).filter_map(|line| scanned(&line)).max()
}

fn scanned(line: &str) -> Option<u64> {
    let (_, rest) = line.split_once("scanned up to log sequence number ")?;
    let end = rest
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(rest.len());
    rest[..end].parse().ok()
}

fn lines(path: &Path) -> impl Iterator<Item = String> {
    let file = File::open(path).ok();
    file.into_iter()
        .flat_map(|file| std::io::BufRead::split(std::io::BufReader::new(file), b'\n'))
        .map_while(Result::ok)
        .map(|line| String::from_utf8_lossy(&line).trim().to_owned())
}

/// Returns the end of the log, in whole lines.
pub(super) fn tail(path: &Path) -> String {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|mut file| {
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
        file.take(TAIL).read_to_end(&mut bytes)
    });
    if read.is_err() {
        return String::new();
    }
    let text = String::from_utf8_lossy(&bytes);
    let text = if bytes.len() as u64 == TAIL {
        text.split_once('\n').map_or(&*text, |(_, rest)| rest)
    } else {
        &*text
    };
    text.trim_end().to_owned()
}

/// Returns a remedy for known failures.
pub(super) fn advice(tail: &str) -> Option<String> {
    const CASE: &str = "Different lower_case_table_names settings for server ('";
    if let Some((_, rest)) = tail.split_once(CASE) {
        let dictionary = rest.split_once("data dictionary ('")?.1.chars().next()?;
        return Some(format!(
            "The source server ran with lower_case_table_names={dictionary}: \
             add --lower-case-table-names={dictionary} to RestoreOptions::mysqld_args, and set it in the restored \
              server's my.cnf"
        ));
    }
    if tail.contains("Could not find any file associated with the tablespace ID") {
        return Some(
            "The backup lacks the files of tablespaces that its redo log changes: verify the backup, and \
             restore another one"
                .to_owned(),
        );
    }
    if KEYLESS.iter().any(|words| tail.contains(words)) {
        return Some(
            "Tablespaces or logs of this backup are encrypted, and this server has no keyring with the key: \
             set RestoreOptions::keyring_config to a directory with the mysqld.my and component_keyring_*.cnf of a \
              keyring that has it"
                .to_owned(),
        );
    }
    None
}

/// Messages of a server without the key of its data (`errmsg.msg`...). The word keyring alone is
/// not sufficient: each start of 9.7 logs it in the name of a plugin.
const KEYLESS: [&str; 6] = [
    "please check the keyring",
    "Please check the keyring",
    "check the keyring is loaded",
    "Failed to decrypt",
    "can't find master key",
    "Can't find master key",
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::sync::Mutex;

    #[derive(Default)]
    struct Notes(Mutex<Vec<String>>);
    impl Progress for Notes {
        fn note(&self, message: &str) {
            self.0.lock().unwrap().push(message.to_owned());
        }
    }

    #[test]
    fn progress_lines_are_passed_on_once_and_complete() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut watch = LogWatch::new(&path, 0);
        let notes = Notes::default();
        watch.poll(&notes);
        let mut file = File::create(&path).unwrap();
        write!(
            file,
            "2026 1 [Note] [MY-1] [InnoDB] Starting to apply a batch of log"
        )
        .unwrap();
        watch.poll(&notes);
        assert!(notes.0.lock().unwrap().is_empty());
        write!(
            file,
            " records\n2026 0 [Note] [MY-2] [Server] something else\n"
        )
        .unwrap();
        watch.poll(&notes);
        watch.poll(&notes);
        assert_eq!(
            *notes.0.lock().unwrap(),
            ["Starting to apply a batch of log records"]
        );
    }

    #[test]
    fn errors_are_found_and_explained() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut text = "x [Note] fine\n".repeat(1000);
        text.push_str("2026 1 [ERROR] [MY-011087] [Server] Different lower_case_table_names settings for server ('0') and data dictionary ('1').\n");
        std::fs::write(&path, &text).unwrap();
        text.push_str("2026 1 [ERROR] [MY-012153] [InnoDB] bad page\n");
        text.push_str("2026 1 [Note] [MY-012550] [InnoDB] Doing recovery: scanned up to log sequence number 35601096\n");
        std::fs::write(&path, &text).unwrap();
        let found = errors(&path, &[], &|_| false);
        assert!(
            found.fatal.len() == 1 && found.fatal[0].contains("MY-012153"),
            "{found:?}"
        );
        assert!(
            found.reported.len() == 1 && found.reported[0].contains("MY-011087"),
            "{found:?}"
        );
        assert_eq!(scanned_to(&path), Some(35_601_096));
        let tail = tail(&path);
        assert!(tail.len() <= 4096 && tail.starts_with("x [Note]"));
        assert!(
            advice(&tail)
                .unwrap()
                .contains("--lower-case-table-names=1")
        );
        assert_eq!(advice("nothing known"), None);
        std::fs::write(&path, "x [Note] [ERROR]-free\n").unwrap();
        assert_eq!(errors(&path, &[], &|_| false), Errors::default());
        assert_eq!(scanned_to(&path), None);
    }

    #[test]
    fn harmless_and_accepted_errors_do_not_hide_others() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let line =
            |code: &str| format!("2026 1 [ERROR] [{code}] [InnoDB] Scanned file 'aux@@@/t.ibd'\n");
        let flood = line("MY-013589").repeat(100) + &line("MY-000001").repeat(100);
        std::fs::write(&path, flood + &line("MY-012153")).unwrap();
        let found = errors(&path, &["MY-000001".to_owned()], &|_| false);
        assert_eq!((found.fatal.len(), found.reported.len()), (1, ERRORS));
        assert!(found.fatal[0].contains("MY-012153"), "{found:?}");
        assert!(errors(&path, &[], &|_| false).fatal[0].contains("MY-000001"));
        // The same code for a file that is really in the wrong directory.
        let wrong =
            "2026 1 [ERROR] [MY-013589] [InnoDB] Scanned file 'd/t.ibd' for tablespace e/t\n";
        std::fs::write(&path, wrong).unwrap();
        assert_eq!(errors(&path, &[], &|_| false).fatal.len(), 1);
        assert_eq!(code("x [ERROR] [MY-012153] [InnoDB] y"), Some("MY-012153"));
        assert_eq!(code("x [ERROR] [MY-] y"), Some("MY-"));
        assert_eq!(code("x [MY-1x] y"), None);
    }

    #[test]
    fn errors_about_files_that_are_left_out_are_no_errors() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let first = |thread: u8| {
            format!(
                "2026 {thread} [ERROR] [MY-012592] [InnoDB] Operating system error number 2 in a file operation.\n\
                 2026 {thread} [ERROR] [MY-012593] [InnoDB] The error means the system cannot find the path specified.\n"
            )
        };
        let last = |thread: u8, path: &str| {
            format!(
                "2026 {thread} [ERROR] [MY-012216] [InnoDB] Cannot open datafile for read-only: './{path}' OS error: 71\n"
            )
        };
        let of = |text: String| {
            std::fs::write(&path, text).unwrap();
            errors(&path, &[], &|path| path.starts_with("./other/"))
                .fatal
                .len()
        };
        assert_eq!(of(first(1) + &last(1, "other/b.ibd")), 0);
        assert_eq!(
            of(first(1) + &first(2) + &last(1, "other/b.ibd") + &last(2, "other/c.ibd")),
            0
        );
        assert_eq!(of(first(1) + &last(1, "shop/a.ibd")), 3);
        assert_eq!(of(first(1) + &last(2, "other/b.ibd")), 2);
        let bad = "2026 1 [ERROR] [MY-012153] [InnoDB] bad page\n";
        assert_eq!(of(first(1) + bad + &last(1, "other/b.ibd")), 3);
        assert_eq!(
            of((first(1) + &last(1, "other/b.ibd")).repeat(100) + bad),
            1
        );
        assert_eq!(of(first(1).repeat(100)), ERRORS);
    }

    #[test]
    fn missing_files_are_read_from_the_log() {
        let line = "2026 1 [Warning] [MY-012351] [InnoDB] Tablespace 3, name 'other/b', file './other/b.ibd' is missing!";
        let found = missing_file(line).unwrap();
        assert_eq!(
            (found.space, found.path.as_str()),
            (SpaceId(3), "./other/b.ibd")
        );
        assert_eq!(
            missing_file(
                "2026 1 [Note] [MY-012356] [InnoDB] Scanned 12 tablespaces. Found 3 missing."
            ),
            None
        );
    }

    #[test]
    fn a_keyring_is_advised_only_if_it_is_missing() {
        let start =
            "2026 0 [Note] [MY-010733] [Server] Shutting down plugin 'daemon_keyring_proxy_plugin'";
        assert_eq!(advice(start), None);
        let keyless = "[ERROR] [MY-012226] [InnoDB] Encryption can't find master key, please check the keyring is loaded.";
        assert!(
            advice(keyless)
                .unwrap()
                .contains("RestoreOptions::keyring_config")
        );
    }
}
