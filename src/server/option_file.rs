//! MySQL's option files (`my.cnf`): their selection, their order, and their syntax.
//!
//! Facts from the MySQL manual ("Using Option Files", "Command-Line Options that Affect Option-File
//! Handling") and from the behaviour of the 9.7 client:
//! * order: `/etc/my.cnf`, `/etc/mysql/my.cnf`, the file of `--defaults-extra-file`, `~/.my.cnf`;
//!   or only the one of `--defaults-file`; or none with `--no-defaults`. Later entries override
//!   earlier ones, independent of the group.
//! * a group name, then `name` or `name=value`; `#` and `;` start a comment line, `#` outside of
//!   quotes ends a line; `-` and `_` are equivalent in names; one pair of quotes around a value is
//!   removed; `\b \t \n \r \\ \s \" \'` are escapes, any other backslash stays.
//! * `!include FILE`, `!includedir DIR` (files `*.cnf`, sorted); at most [`MAX_DEPTH`] levels.
//! * a world-writable file is ignored, with a warning.

use std::fmt;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::ServerError;
use super::option_line::{cut_comment, name_and_value};

/// Maximum depth of `!include`; the same as in MySQL.
pub const MAX_DEPTH: usize = 10;
/// Maximum number of files of one call: directories that include each other would multiply without
/// a limit.
const MAX_FILES: usize = 1000;
/// Maximum length of an option file, in bytes.
const MAX_BYTES: u64 = 4 << 20;

/// The selection of option files: the four options that every MySQL program has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileChoice {
    /// `--defaults-file`: read only this file, which must exist.
    pub defaults_file: Option<PathBuf>,
    /// `--defaults-extra-file`: read this file after the global ones and before the user's; it must
    /// exist.
    pub defaults_extra_file: Option<PathBuf>,
    /// `--no-defaults`: read no file.
    pub no_defaults: bool,
    /// `--defaults-group-suffix`: with `_x`, the groups `[client_x]` and `[lsnap_x]` are read too.
    pub group_suffix: Option<String>,
}

/// One option in a file.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// The group, as written.
    pub group: String,
    /// The name, with `_` written as `-`.
    pub name: String,
    /// The value; `None` if the line has no `=`.
    pub value: Option<String>,
    /// The file.
    pub file: PathBuf,
    /// The line, counted from 1.
    pub line: usize,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the value: any of them may be a secret.
        write!(
            f,
            "[{}] {} ({}:{})",
            self.group,
            self.name,
            self.file.display(),
            self.line
        )
    }
}

/// The options of the groups that lsnap reads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OptionFiles {
    /// The options in the order of reading: the last one of a name takes precedence.
    pub entries: Vec<Entry>,
    /// Warnings for the user.
    pub warnings: Vec<String>,
    /// The files that were read.
    pub files: Vec<PathBuf>,
}

impl OptionFiles {
    /// Reads the files of `choice`; `home` is the user's home directory.
    ///
    /// # Errors
    /// A given file that can't be read, or a line that can't be parsed, with file and line.
    pub fn read(choice: &FileChoice, home: Option<&Path>) -> Result<Self, ServerError> {
        Self::read_below(choice, Path::new("/"), home)
    }

    /// The same as [`Self::read`] for other groups than `[client]` and `[lsnap]`.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub(crate) fn read_groups(
        choice: &FileChoice,
        groups: &[&str],
        home: Option<&Path>,
    ) -> Result<Self, ServerError> {
        Self::read_all(choice, groups, Path::new("/"), home)
    }

    /// The same as [`Self::read`] with another root directory for the global files: for tests.
    fn read_below(
        choice: &FileChoice,
        root: &Path,
        home: Option<&Path>,
    ) -> Result<Self, ServerError> {
        Self::read_all(choice, &OWN_GROUPS, root, home)
    }

    fn read_all(
        choice: &FileChoice,
        groups: &[&str],
        root: &Path,
        home: Option<&Path>,
    ) -> Result<Self, ServerError> {
        let mut reader = Reader {
            groups: with_suffix(groups, choice.group_suffix.as_deref()),
            found: Self::default(),
            budget: MAX_FILES,
        };
        if choice.no_defaults {
            if choice.defaults_file.is_some() || choice.defaults_extra_file.is_some() {
                return Err(ServerError::BadOption {
                    name: "FileChoice::no_defaults".into(),
                    origin: "the given options".into(),
                    problem: "given together with FileChoice::defaults_file or FileChoice::defaults_extra_file; leave one out".into(),
                });
            }
            return Ok(reader.found);
        }
        if let Some(sole) = &choice.defaults_file {
            reader.file(sole, true, 0)?;
            return Ok(reader.found);
        }
        for global in ["etc/my.cnf", "etc/mysql/my.cnf"] {
            reader.file(&root.join(global), false, 0)?;
        }
        if let Some(extra) = &choice.defaults_extra_file {
            reader.file(extra, true, 0)?;
        }
        if let Some(home) = home {
            reader.file(&home.join(".my.cnf"), false, 0)?;
        }
        Ok(reader.found)
    }

    /// Parses a text like a file without includes: for tests and fuzzing.
    ///
    /// # Errors
    /// A line that can't be parsed.
    pub fn parse(text: &str, suffix: Option<&str>) -> Result<Self, ServerError> {
        Self::parse_all(text, with_suffix(&OWN_GROUPS, suffix))
    }

    /// The same as [`Self::parse`] for other groups.
    ///
    /// # Errors
    /// A line that can't be parsed.
    pub(crate) fn parse_groups(text: &str, groups: &[&str]) -> Result<Self, ServerError> {
        Self::parse_all(text, with_suffix(groups, None))
    }

    fn parse_all(text: &str, groups: Vec<String>) -> Result<Self, ServerError> {
        let mut reader = Reader {
            groups,
            found: Self::default(),
            budget: 0,
        };
        reader.text(text, Path::new("(text)"), MAX_DEPTH)?;
        Ok(reader.found)
    }
}

/// The groups that lsnap reads.
const OWN_GROUPS: [&str; 2] = ["client", "lsnap"];

/// Returns the groups, and each of them with the suffix.
fn with_suffix(plain: &[&str], suffix: Option<&str>) -> Vec<String> {
    let suffix = suffix.filter(|s| !s.is_empty());
    plain
        .iter()
        .map(|g| (*g).to_string())
        .chain(
            suffix
                .into_iter()
                .flat_map(|s| plain.iter().map(move |g| format!("{g}{s}"))),
        )
        .collect()
}

struct Reader {
    groups: Vec<String>,
    found: OptionFiles,
    budget: usize,
}

impl Reader {
    fn file(&mut self, path: &Path, must_exist: bool, depth: usize) -> Result<(), ServerError> {
        let fail = |source| ServerError::OptionFileRead {
            file: path.to_path_buf(),
            source,
        };
        let meta = match fs::metadata(path) {
            Ok(meta) => meta,
            Err(e) if must_exist => return Err(fail(e)),
            Err(e) => {
                if e.kind() != io::ErrorKind::NotFound {
                    self.warn(format!("option file {} is ignored: {e}", path.display()));
                }
                return Ok(());
            }
        };
        if meta.is_file() && meta.permissions().mode() & 0o002 != 0 {
            self.warn(format!(
                "option file {} is ignored because every user may write to it (mode {:o}); chmod o-w it",
                path.display(),
                meta.permissions().mode() & 0o7777
            ));
            return Ok(());
        }
        if self.budget == 0 {
            return Err(ServerError::OptionFile {
                file: path.to_path_buf(),
                line: 0,
                problem: format!(
                    "more than {MAX_FILES} option files; check for !includedir directories that include each other"
                ),
            });
        }
        self.budget -= 1;
        let bytes = match read_to(path, MAX_BYTES + 1) {
            Ok(bytes) => bytes,
            Err(e) if must_exist => return Err(fail(e)),
            Err(e) => {
                self.warn(format!("option file {} is ignored: {e}", path.display()));
                return Ok(());
            }
        };
        let text = text_of(path, bytes)?;
        self.found.files.push(path.to_path_buf());
        self.text(&text, path, depth)
    }

    fn text(&mut self, text: &str, file: &Path, depth: usize) -> Result<(), ServerError> {
        let mut group: Option<String> = None;
        for (at, raw) in text.lines().enumerate() {
            let line = at + 1;
            let fail = |problem: &str| ServerError::OptionFile {
                file: file.to_path_buf(),
                line,
                problem: problem.to_string(),
            };
            let body = raw.trim();
            if body.is_empty() || body.starts_with(['#', ';']) {
                continue;
            }
            if let Some(directive) = body.strip_prefix('!') {
                self.directive(directive.trim_start(), file, line, depth)?;
                continue;
            }
            if let Some(rest) = body.strip_prefix('[') {
                let (name, _) = rest
                    .split_once(']')
                    .ok_or_else(|| fail("a group name without ']': expected [group]"))?;
                group = Some(name.trim().to_string());
                continue;
            }
            let group = group.as_ref().ok_or_else(|| {
                fail("an option before any group: put [client] or [lsnap] above it")
            })?;
            if !self.groups.contains(group) {
                continue;
            }
            let (name, value) = name_and_value(cut_comment(body));
            if name.is_empty() {
                return Err(fail("a value without a name: expected name=value"));
            }
            self.found.entries.push(Entry {
                group: group.clone(),
                name,
                value,
                file: file.to_path_buf(),
                line,
            });
        }
        Ok(())
    }

    fn directive(
        &mut self,
        directive: &str,
        file: &Path,
        line: usize,
        depth: usize,
    ) -> Result<(), ServerError> {
        let (word, argument) = directive
            .split_once(char::is_whitespace)
            .unwrap_or((directive, ""));
        let argument = argument.trim();
        let fail = |problem: String| ServerError::OptionFile {
            file: file.to_path_buf(),
            line,
            problem,
        };
        if word != "include" && word != "includedir" {
            return Err(fail(format!(
                "unknown directive !{word}: expected !include FILE or !includedir DIR"
            )));
        }
        if argument.is_empty() {
            return Err(fail(format!("!{word} has no path")));
        }
        if depth >= MAX_DEPTH {
            self.warn(format!(
                "option file {}, line {line}: !{word} {argument} is skipped: more than {MAX_DEPTH} levels deep",
                file.display()
            ));
            return Ok(());
        }
        let path = Path::new(argument);
        if word == "include" {
            if !path.exists() {
                self.warn(format!(
                    "option file {}, line {line}: {argument} doesn't exist",
                    file.display()
                ));
            }
            return self.file(path, false, depth + 1);
        }
        self.directory(path, file, line, depth)
    }

    /// Reads every `*.cnf` in the directory of an `!includedir`.
    fn directory(
        &mut self,
        path: &Path,
        file: &Path,
        line: usize,
        depth: usize,
    ) -> Result<(), ServerError> {
        let listed = match fs::read_dir(path) {
            Ok(listed) => listed,
            Err(e) => {
                self.warn(format!(
                    "option file {}, line {line}: directory {}: {e}",
                    file.display(),
                    path.display()
                ));
                return Ok(());
            }
        };
        let mut inside: Vec<PathBuf> = listed
            .filter_map(Result::ok)
            .map(|e| e.path())
            .filter(|p| p.extension().is_some_and(|x| x == "cnf"))
            .collect();
        inside.sort();
        for path in inside {
            self.file(&path, false, depth + 1)?;
        }
        Ok(())
    }

    fn warn(&mut self, text: String) {
        self.found.warnings.push(text);
    }
}

/// Reads the first `limit` bytes of a file.
fn read_to(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn text_of(path: &Path, bytes: Vec<u8>) -> Result<String, ServerError> {
    let fail = |line: usize, problem: String| ServerError::OptionFile {
        file: path.to_path_buf(),
        line,
        problem,
    };
    if bytes.len() as u64 > MAX_BYTES {
        let problem = format!("longer than {MAX_BYTES} bytes: this is not an option file");
        return Err(fail(0, problem));
    }
    String::from_utf8(bytes).map_err(|e| {
        let before = &e.as_bytes()[..e.utf8_error().valid_up_to()];
        let line = before.iter().filter(|b| **b == b'\n').count() + 1;
        let problem = "the text is not UTF-8; store the file as UTF-8";
        fail(line, problem.into())
    })
}

#[cfg(test)]
#[path = "option_file_tests.rs"]
mod tests;
