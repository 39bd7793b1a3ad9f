//! The error log of the recovering server: what it is doing, and what went wrong.

use crate::progress::{Phase, Progress};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// Bytes of the log that an error shows.
const TAIL: u64 = 4096;
/// Most lines of the level ERROR that are kept of each sort.
const ERRORS: usize = 20;
/// Most that one look at the log reads.
const AT_ONCE: u64 = 64 << 10;
/// Words of lines that say how far recovery is.
const TELLING: [&str; 5] = [
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
    /// How far recovery has read the redo log.
    scanned: u64,
}

impl LogWatch {
    /// `from` is the LSN at which the redo log begins.
    pub(super) fn new(path: &Path, from: u64) -> Self {
        Self {
            path: path.to_path_buf(),
            at: 0,
            partial: String::new(),
            scanned: from,
        }
    }

    /// Passes on new lines that say how far recovery is. A log that cannot be read now is read later.
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
            } else if TELLING.iter().any(|word| line.contains(word)) {
                progress.note(message(&line));
            }
        }
        // A line without an end is no line of a server.
        if self.partial.len() > AT_ONCE as usize {
            self.partial.clear();
        }
    }
}

/// The text of a line behind its time, thread and tags.
fn message(line: &str) -> &str {
    line.rsplit_once("] ")
        .map_or(line, |(_, message)| message)
        .trim()
}

/// Errors of InnoDB that say nothing of the data. The tables of the recovered server, its position and the
/// end of its redo log are looked at in any case.
///
/// | code | when |
/// |---|---|
/// | MY-013589 | at each start of a server with a schema whose name Windows reserves (`aux`, directory `aux@@@`) |
const HARMLESS: [&str; 1] = ["MY-013589"];

/// The lines of the level ERROR.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Errors {
    /// Of InnoDB: the data can't be trusted.
    pub(super) fatal: Vec<String>,
    /// Of InnoDB, known as harmless or accepted by whoever restores; and of the layers above it, which a
    /// person should see (MySQL 9.7 logs "Invalid (old?) table or database name" for a table `#x` whose
    /// transaction is rolled back, and all is well).
    pub(super) told: Vec<String>,
}

/// Reads the errors in a log; `accepted` are codes (`MY-013589`) of errors that are not fatal.
pub(super) fn errors(path: &Path, accepted: &[String]) -> Errors {
    let mut errors = Errors::default();
    for line in lines(path).filter(|line| line.contains(" [ERROR] ")) {
        let code = code(&line);
        let passed = code.is_some_and(|code| {
            HARMLESS.contains(&code) || accepted.iter().any(|accepted| accepted == code)
        });
        let list = match line.contains(" [InnoDB] ") && !passed {
            true => &mut errors.fatal,
            false => &mut errors.told,
        };
        if list.len() < ERRORS {
            list.push(line);
        }
    }
    errors
}

/// The code of a line, as `MY-013589`.
pub(super) fn code(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once("[MY-")?;
    let digits = rest.split_once(']')?.0;
    let start = line.len() - rest.len() - "MY-".len();
    digits
        .bytes()
        .all(|b| b.is_ascii_digit())
        .then(|| &line[start..start + "MY-".len() + digits.len()])
}

/// The LSN up to which recovery read the log, as the server says it.
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

/// The end of the log, in whole lines.
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

/// What to do about failures that are known.
pub(super) fn advice(tail: &str) -> Option<String> {
    const CASE: &str = "Different lower_case_table_names settings for server ('";
    if let Some((_, rest)) = tail.split_once(CASE) {
        let dictionary = rest.split_once("data dictionary ('")?.1.chars().next()?;
        return Some(format!(
            "The source server ran with lower_case_table_names={dictionary}: \
             pass --mysqld-arg=--lower-case-table-names={dictionary}, and put it into the restored server's my.cnf"
        ));
    }
    if tail.contains("Could not find any file associated with the tablespace ID") {
        return Some(
            "The backup lacks the files of tablespaces that its redo log changes: run `lsnap verify` on it, and \
             restore another backup"
                .to_owned(),
        );
    }
    if KEYLESS.iter().any(|words| tail.contains(words)) {
        return Some(
            "Tablespaces or logs of this backup are encrypted, and this server has no keyring with the key: \
             name a directory with the mysqld.my and component_keyring_*.cnf of a keyring that has it with \
             --keyring-config"
                .to_owned(),
        );
    }
    None
}

/// Messages of a server without the key of what it reads (`errmsg.msg`...). Not the word keyring alone:
/// each start of 9.7 has it in the name of a plugin.
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
    struct Heard(Mutex<Vec<String>>);
    impl Progress for Heard {
        fn note(&self, message: &str) {
            self.0.lock().unwrap().push(message.to_owned());
        }
    }

    #[test]
    fn telling_lines_are_passed_on_once_and_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut watch = LogWatch::new(&path, 0);
        let heard = Heard::default();
        watch.poll(&heard);
        let mut file = File::create(&path).unwrap();
        write!(
            file,
            "2026 1 [Note] [MY-1] [InnoDB] Starting to apply a batch of log"
        )
        .unwrap();
        watch.poll(&heard);
        assert!(heard.0.lock().unwrap().is_empty());
        write!(
            file,
            " records\n2026 0 [Note] [MY-2] [Server] something else\n"
        )
        .unwrap();
        watch.poll(&heard);
        watch.poll(&heard);
        assert_eq!(
            *heard.0.lock().unwrap(),
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
        let found = errors(&path, &[]);
        assert!(
            found.fatal.len() == 1 && found.fatal[0].contains("MY-012153"),
            "{found:?}"
        );
        assert!(
            found.told.len() == 1 && found.told[0].contains("MY-011087"),
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
        assert_eq!(errors(&path, &[]), Errors::default());
        assert_eq!(scanned_to(&path), None);
    }

    #[test]
    fn harmless_and_accepted_errors_hide_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let line = |code: &str| format!("2026 1 [ERROR] [{code}] [InnoDB] words\n");
        let flood = line("MY-013589").repeat(100) + &line("MY-000001").repeat(100);
        std::fs::write(&path, flood + &line("MY-012153")).unwrap();
        let found = errors(&path, &["MY-000001".to_owned()]);
        assert_eq!((found.fatal.len(), found.told.len()), (1, ERRORS));
        assert!(found.fatal[0].contains("MY-012153"), "{found:?}");
        assert!(errors(&path, &[]).fatal[0].contains("MY-000001"));
        assert_eq!(code("x [ERROR] [MY-012153] [InnoDB] y"), Some("MY-012153"));
        assert_eq!(code("x [ERROR] [MY-] y"), Some("MY-"));
        assert_eq!(code("x [MY-1x] y"), None);
    }

    #[test]
    fn a_keyring_is_advised_only_where_one_is_missing() {
        let start =
            "2026 0 [Note] [MY-010733] [Server] Shutting down plugin 'daemon_keyring_proxy_plugin'";
        assert_eq!(advice(start), None);
        let keyless = "[ERROR] [MY-012226] [InnoDB] Encryption can't find master key, please check the keyring is loaded.";
        assert!(advice(keyless).unwrap().contains("--keyring-config"));
    }
}
