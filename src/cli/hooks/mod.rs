//! Hooks: commands and URLs that are called when a job starts, succeeds or fails.
//!
//! A hook is not a part of the job: if it fails or hangs, a warning is logged and nothing else changes. Its text can
//! contain a secret (a URL with a token, a header of `curl`), so no message has it.

mod command;
mod web;

use super::human;
use super::json::ErrorDocument;
use crate::secret_file;
use serde::Serialize;
use std::fmt;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

/// Longest file with a URL, in bytes.
const URL_MAX: u64 = 8 << 10;
/// Longest value of a variable, in bytes; the kernel refuses variables of more than 128 KiB.
const VARIABLE_MAX: usize = 4 << 10;

/// Hooks of a job. A HOOK is a command for `/bin/sh`; or a URL, to which a JSON document is sent by POST; or @FILE, a
/// file with such a URL, if the URL is a secret.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Hooks")]
#[group(skip)]
pub(super) struct HookArgs {
    /// Call this when the job starts: a shell command, a URL (`https://...`), or `@FILE` with a URL in it. May be
    /// repeated.
    #[arg(long, value_name = "HOOK")]
    hook_start: Vec<String>,
    /// Call this when the job has succeeded: a shell command, a URL, or `@FILE`. May be repeated.
    #[arg(long, value_name = "HOOK")]
    hook_success: Vec<String>,
    /// Call this when the job has failed: a shell command, a URL, or `@FILE`. May be repeated.
    #[arg(long, value_name = "HOOK")]
    hook_failure: Vec<String>,
    /// End a hook that runs longer than this.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = human::parse_duration)]
    hook_timeout: Duration,
}

/// The cause of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Event {
    Start,
    Success,
    Failure,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Start => "start",
            Self::Success => "success",
            Self::Failure => "failure",
        })
    }
}

/// The document of a call: the content of the file `LSNAP_HOOK_REPORT`, and the body of a POST.
#[derive(Debug, Serialize)]
pub(super) struct Document {
    /// The version of lsnap.
    pub lsnap: &'static str,
    pub event: Event,
    /// One sentence.
    pub text: String,
    /// `backup`, `verify` and so on.
    pub command: &'static str,
    /// The name of the host.
    pub host: String,
    /// The cluster, if the command has one.
    pub cluster: Option<String>,
    /// The URL of the repository, if the command has one.
    pub repository: Option<String>,
    /// The backup that was made, if the job made one.
    pub backup: Option<String>,
    /// RFC 3339, UTC.
    pub started_at: String,
    /// RFC 3339, UTC; null for the event `start`, as the following ones.
    pub finished_at: Option<String>,
    pub duration_seconds: Option<f64>,
    pub exit_code: Option<u8>,
    /// The error, if the job failed.
    pub error: Option<ErrorDocument>,
    /// The document that `--json` prints.
    pub report: Option<serde_json::Value>,
}

impl Document {
    /// Returns the variables of a command.
    fn variables(&self) -> Vec<(&'static str, String)> {
        let mut all = vec![
            ("LSNAP_HOOK_EVENT", self.event.to_string()),
            ("LSNAP_HOOK_TEXT", self.text.clone()),
            ("LSNAP_HOOK_COMMAND", self.command.to_owned()),
            ("LSNAP_HOOK_HOST", self.host.clone()),
            ("LSNAP_HOOK_STARTED_AT", self.started_at.clone()),
        ];
        let number = |n: Option<f64>| n.map(|n| format!("{n:.3}"));
        let optional = [
            ("LSNAP_HOOK_CLUSTER", self.cluster.clone()),
            ("LSNAP_HOOK_REPOSITORY", self.repository.clone()),
            ("LSNAP_HOOK_BACKUP", self.backup.clone()),
            ("LSNAP_HOOK_FINISHED_AT", self.finished_at.clone()),
            ("LSNAP_HOOK_DURATION_SECONDS", number(self.duration_seconds)),
            (
                "LSNAP_HOOK_EXIT_CODE",
                self.exit_code.map(|code| code.to_string()),
            ),
            (
                "LSNAP_HOOK_ERROR",
                self.error.as_ref().map(ErrorDocument::text),
            ),
        ];
        all.extend(
            optional
                .into_iter()
                .filter_map(|(name, value)| Some((name, value?))),
        );
        for (_, value) in &mut all {
            while value.len() > VARIABLE_MAX {
                value.pop();
            }
            *value = value.replace('\0', " ");
        }
        all
    }
}

/// A hook that can be called.
enum Hook {
    Command(String),
    Url(String),
}

impl Hook {
    /// Reads the text of a hook. The error doesn't have the text.
    fn new(text: &str) -> Result<Self, String> {
        let is_url = |text: &str| text.starts_with("https://") || text.starts_with("http://");
        let url = match text.strip_prefix('@') {
            Some(path) => {
                let read = secret_file::read(Path::new(path), "URL", URL_MAX);
                let secret = read.map_err(|e| format!("{path} {e}"))?;
                if let Some(warning) = secret.warning {
                    tracing::warn!("URL of a hook: {path}: {warning}");
                }
                let text = String::from_utf8_lossy(&secret.bytes).trim().to_owned();
                if !is_url(&text) {
                    return Err(format!(
                        "{path} has no URL: expected one line with https://..."
                    ));
                }
                text
            }
            None if is_url(text) => text.to_owned(),
            None if text.trim().is_empty() => {
                return Err("it is empty: expected a command or a URL".to_owned());
            }
            None => return Ok(Self::Command(text.to_owned())),
        };
        match reqwest::Url::parse(&url) {
            Ok(_) => Ok(Self::Url(url)),
            Err(error) => Err(format!("its URL is not valid: {error}")),
        }
    }
}

impl HookArgs {
    fn of(&self, event: Event) -> &[String] {
        match event {
            Event::Start => &self.hook_start,
            Event::Success => &self.hook_success,
            Event::Failure => &self.hook_failure,
        }
    }

    /// Returns whether there is a hook.
    pub(super) fn any(&self) -> bool {
        [Event::Start, Event::Success, Event::Failure]
            .iter()
            .any(|event| !self.of(*event).is_empty())
    }

    /// Logs a warning for each hook that can't be called, before the job: a mistake in the hook for failures must not
    /// be found only after a failure.
    pub(super) fn check(&self) {
        for event in [Event::Start, Event::Success, Event::Failure] {
            for (at, text) in self.of(event).iter().enumerate() {
                if let Err(why) = Hook::new(text) {
                    tracing::warn!("hook {} for {event} can't be called: {why}", at + 1);
                }
            }
        }
    }

    /// Calls the hooks of the document's event, one after the other.
    pub(super) fn call(&self, document: &Document) {
        let event = document.event;
        for (at, text) in self.of(event).iter().enumerate() {
            let called = Hook::new(text).and_then(|hook| self.call_one(&hook, document));
            match called {
                Ok(()) => tracing::info!("hook {} for {event} was called", at + 1),
                Err(why) => tracing::warn!(
                    "hook {} for {event} failed: {why}; {} is not affected",
                    at + 1,
                    document.command
                ),
            }
        }
    }

    fn call_one(&self, hook: &Hook, document: &Document) -> Result<(), String> {
        let json = serde_json::to_vec(document).map_err(|e| e.to_string())?;
        match hook {
            Hook::Url(url) => web::post(url, json, self.hook_timeout),
            Hook::Command(text) => {
                let failed = |e: std::io::Error| format!("its report can't be written: {e}");
                let builder = tempfile::Builder::new()
                    .prefix("lsnap-hook-")
                    .suffix(".json")
                    .tempfile();
                let mut file = builder.map_err(failed)?;
                file.write_all(&json).map_err(failed)?;
                let mut variables = document.variables();
                let path = file.path().to_string_lossy().into_owned();
                variables.push(("LSNAP_HOOK_REPORT", path));
                command::run(text, variables, self.hook_timeout)
            }
        }
    }
}

/// Returns a URL without its path, which can be a secret; other texts unchanged.
pub(super) fn without_path(text: &str) -> String {
    let Some((scheme, rest)) = text
        .split_once("://")
        .filter(|(s, _)| s.starts_with("http"))
    else {
        return text.to_owned();
    };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = host.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{host}/...")
}

/// Options whose values can contain a secret.
const HIDDEN_VALUES: [&str; 4] = [
    "--header",
    "--hook-start",
    "--hook-success",
    "--hook-failure",
];

/// A word of a command line.
pub(super) enum Word {
    /// Shows no secret.
    Open(String),
    /// One of [`HIDDEN_VALUES`]; its value is the next word.
    Option(String),
    /// The value of the option before it.
    Value,
    /// One of [`HIDDEN_VALUES`], whose value was in the same word.
    OptionAndValue(String),
}

/// Returns the words of a command line, without the values of [`HIDDEN_VALUES`].
pub(super) fn words(arguments: impl Iterator<Item = String>) -> impl Iterator<Item = Word> {
    let mut is_value = false;
    arguments.map(move |argument| {
        if std::mem::take(&mut is_value) {
            return Word::Value;
        }
        let (option, value) = match argument.split_once('=') {
            Some((option, value)) => (option, Some(value)),
            None => (argument.as_str(), None),
        };
        if !HIDDEN_VALUES.contains(&option) {
            return Word::Open(argument);
        }
        is_value = value.is_none();
        match value {
            Some(_) => Word::OptionAndValue(option.to_owned()),
            None => Word::Option(argument),
        }
    })
}

/// Returns the command line for records, without the texts of hooks and headers.
pub(super) fn without_hooks(arguments: impl Iterator<Item = String>) -> String {
    let shown = words(arguments).map(|word| match word {
        Word::Open(word) | Word::Option(word) => word,
        Word::Value => "...".to_owned(),
        Word::OptionAndValue(option) => format!("{option}=..."),
    });
    shown.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
