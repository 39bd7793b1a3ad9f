//! MySQL's option files (`my.cnf`): which are read, in which order, and what a line means.
//!
//! Facts from the MySQL manual ("Using Option Files", "Command-Line Options that Affect Option-File Handling")
//! and from what the 9.7 client does with such files:
//! * order: `/etc/my.cnf`, `/etc/mysql/my.cnf`, the file of `--defaults-extra-file`, `~/.my.cnf`; or only the
//!   one of `--defaults-file`; or none with `--no-defaults`. What is read later wins, whichever group it is in.
//! * a group name, then `name` or `name=value`; `#` and `;` begin a comment line, `#` outside of quotes ends a
//!   line; `-` and `_` are the same in names; one pair of quotes around a value goes away; `\b \t \n \r \\ \s
//!   \" \'` are escapes, any other backslash stays.
//! * `!include FILE`, `!includedir DIR` (files `*.cnf`, sorted); at most [`MAX_DEPTH`] deep.
//! * a file that anybody may write is ignored, with a warning.

use std::fmt;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::ServerError;
use super::option_line::{cut_comment, name_and_value};

/// How deep `!include` may nest; MySQL's own bound.
pub const MAX_DEPTH: usize = 10;
/// How many files one call may read: directories that include each other would multiply without it.
const MAX_FILES: usize = 1000;
/// The longest option file in bytes.
const MAX_BYTES: u64 = 4 << 20;

/// Which option files to read: the four options that every MySQL program has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileChoice {
    /// `--defaults-file`: only this one; it must exist.
    pub defaults_file: Option<PathBuf>,
    /// `--defaults-extra-file`: after the global files, before the user's; it must exist.
    pub defaults_extra_file: Option<PathBuf>,
    /// `--no-defaults`: none at all.
    pub no_defaults: bool,
    /// `--defaults-group-suffix`: `_x` makes `[client_x]` and `[lsnap_x]` count too.
    pub group_suffix: Option<String>,
}

/// One option found in a file.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// The group, as written.
    pub group: String,
    /// The name, with `_` written as `-`.
    pub name: String,
    /// The value; `None` when the line has no `=`.
    pub value: Option<String>,
    /// Where it stands.
    pub file: PathBuf,
    /// The line, counted from 1.
    pub line: usize,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // No value at all: which of them is a secret can't be told from the name alone.
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

/// The options of the groups that lsnap reads, in the order of reading.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OptionFiles {
    /// In the order of reading: the last of a name wins.
    pub entries: Vec<Entry>,
    /// What a person should be told.
    pub warnings: Vec<String>,
    /// The files that were read.
    pub files: Vec<PathBuf>,
}

impl OptionFiles {
    /// Reads the files of `choice`; `home` is the user's home directory.
    ///
    /// # Errors
    /// A file that was named and can't be read, or a line that can't be understood, with file and line.
    pub fn read(choice: &FileChoice, home: Option<&Path>) -> Result<Self, ServerError> {
        Self::read_below(choice, Path::new("/"), home)
    }

    /// [`Self::read`] with another root directory for the global files: for tests.
    fn read_below(
        choice: &FileChoice,
        root: &Path,
        home: Option<&Path>,
    ) -> Result<Self, ServerError> {
        let mut reader = Reader {
            groups: groups(choice.group_suffix.as_deref()),
            found: Self::default(),
            budget: MAX_FILES,
        };
        if choice.no_defaults {
            if choice.defaults_file.is_some() || choice.defaults_extra_file.is_some() {
                return Err(ServerError::BadOption {
                    name: "--no-defaults".into(),
                    origin: "command line".into(),
                    problem: "given together with --defaults-file or --defaults-extra-file; leave one out".into(),
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

    /// Parses one text as if it were a file that includes nothing: for tests and fuzzing.
    ///
    /// # Errors
    /// A line that can't be understood.
    pub fn parse(text: &str, suffix: Option<&str>) -> Result<Self, ServerError> {
        let mut reader = Reader {
            groups: groups(suffix),
            found: Self::default(),
            budget: 0,
        };
        reader.text(text, Path::new("(text)"), MAX_DEPTH)?;
        Ok(reader.found)
    }
}

fn groups(suffix: Option<&str>) -> Vec<String> {
    let plain = ["client", "lsnap"];
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
                "option file {} is ignored because anybody may write to it (mode {:o}); chmod o-w it",
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
                    "more than {MAX_FILES} option files; look for !includedir directories that include each other"
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
            return Err(fail(format!("!{word} names no path")));
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

    /// `!includedir`: every `*.cnf` in the directory.
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

/// The first `limit` bytes of a file.
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
        let problem = format!("longer than {MAX_BYTES} bytes: this is no option file");
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
