//! Prints clap's errors and help through [`output`].
//!
//! With `--json`, an error is also a document, as for other failures. The arguments can't be parsed then, so the
//! command, and whether its standard output is a stream, are found by their text.

use super::Cli;
use super::config::Added;
use super::exit_code::ExitCode;
use super::json::ErrorDocument;
use super::output;
use super::refused::message;
use clap::CommandFactory as _;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use std::ffi::{OsStr, OsString};
use std::io::IsTerminal as _;
use std::process;

/// Words in the name of an option whose value is a secret. The name of an option for the file of a secret
/// ends with `-file`.
const SECRETS: &[&str] = &["password", "encrypt-key", "secret", "token"];

/// Returns whether the value of this option (`--name <VALUE>`) must not be shown.
fn is_secret(option: &str) -> bool {
    let name = option.split([' ', '=']).next().unwrap_or_default();
    !name.ends_with("-file") && SECRETS.iter().any(|word| name.contains(word))
}

/// Removes the value of a secret from an error.
fn without_secrets(mut error: clap::Error) -> clap::Error {
    let secret = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(option)) => is_secret(option),
        Some(ContextValue::Strings(options)) => options.iter().any(|option| is_secret(option)),
        _ => false,
    };
    if secret && error.get(ContextKind::InvalidValue).is_some() {
        let hidden = ContextValue::String("(not shown)".to_owned());
        error.insert(ContextKind::InvalidValue, hidden);
    }
    error
}

/// Returns whether arguments that can't be parsed contain `--json` before a `--`.
pub(super) fn wants_json(args: &[OsString]) -> bool {
    options(args).any(|arg| arg == "--json")
}

fn options(args: &[OsString]) -> impl Iterator<Item = &OsStr> {
    let args = args.iter().skip(1).map(OsString::as_os_str);
    args.take_while(|arg| *arg != "--")
}

/// Prepares the document for arguments that can't be parsed.
pub(super) fn begin(args: &[OsString]) {
    let is_command = |arg: &&OsStr| !arg.to_string_lossy().starts_with('-');
    let mut words = Vec::new();
    let program = Cli::command();
    let mut known = Some(&program);
    for word in options(args).filter(is_command) {
        known = known.and_then(|command| command.find_subcommand(word));
        let Some(command) = known else { break };
        words.push(command.get_name());
    }
    output::begin(words.join(" "), wants_json(args), is_stream(args));
}

/// Returns whether standard output would have been a stream.
fn is_stream(args: &[OsString]) -> bool {
    let has = |word: &str| options(args).any(|arg| arg == word);
    let stream = |arg: &OsStr| arg.to_string_lossy().starts_with("--stream");
    match options(args).find(|arg| !arg.to_string_lossy().starts_with('-')) {
        Some(command) if command == "backup" => options(args).any(stream),
        Some(command) if command == "cloud" => has("get"),
        Some(command) if command == "xbstream" => has("--create") || options(args).any(creates),
        _ => false,
    }
}

/// Returns whether an argument is a group of short options of `xbstream` with `-c`: `-cv`.
fn creates(arg: &OsStr) -> bool {
    let arg = arg.to_string_lossy();
    let letters = arg.strip_prefix('-').filter(|rest| !rest.starts_with('-'));
    letters.is_some_and(|letters| letters.contains('c'))
}

/// Returns a hint for an error: the origin of a value that was not typed, or the places where a missing
/// value can be set.
fn hint(error: &clap::Error, added: &Added) -> Option<String> {
    let option = match error.get(ContextKind::InvalidArg)? {
        ContextValue::String(option) => option.clone(),
        ContextValue::Strings(options) => options.first()?.clone(),
        _ => return None,
    };
    let name = option.trim_start_matches('-');
    let name = name.split(['=', ' ', '[']).next().unwrap_or_default();
    if let Some((key, origin)) = added.get(name) {
        return Some(format!("this value is {key} of {origin}"));
    }
    (error.kind() == ErrorKind::MissingRequiredArgument && name == "repo").then(|| {
        format!(
            "give --repo, or set LSNAP_REPO or url under [repository] in {}",
            super::config::SYSTEM_FILE
        )
    })
}

/// Returns clap's suggestion, which is also in the text of the error.
fn suggestion(error: &clap::Error) -> Option<String> {
    let suggestions = [
        ContextKind::SuggestedArg,
        ContextKind::SuggestedSubcommand,
        ContextKind::SuggestedValue,
    ];
    let found = suggestions.into_iter().find_map(|kind| error.get(kind))?;
    let names = match found {
        ContextValue::String(name) => name.clone(),
        ContextValue::Strings(names) => names.join(" or "),
        _ => return None,
    };
    Some(format!("did you mean {names}?"))
}

/// Prints help, a version or an error. `added` has the arguments that were not typed.
pub(super) fn report(error: clap::Error, args: &[OsString], added: &Added) -> process::ExitCode {
    let error = without_secrets(error);
    // As in clap: 0 for help and version, else 2.
    let code = if error.use_stderr() {
        ExitCode::Arguments
    } else {
        ExitCode::Success
    };
    let (text, hint) = (error.render(), hint(&error, added));
    if !error.use_stderr() {
        let coloured = output::terminal().is_terminal();
        output::help(&text, coloured && super::may_colour());
        return output::checked(code);
    }
    output::help_to_stderr(
        &text,
        std::io::stderr().is_terminal() && super::may_colour(),
    );
    if let Some(hint) = &hint {
        output::err(&format!("\nlsnap: {hint}\n"));
    }
    begin(args);
    output::end(Some(&ErrorDocument {
        kind: code.into(),
        // The tip is the hint.
        message: message(&error)
            .split("\n\n  tip:")
            .next()
            .unwrap_or_default()
            .to_owned(),
        hint: hint.or_else(|| suggestion(&error)),
        exit_code: code,
    }));
    code.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    const VALUE: &str = "Hunter2";

    fn message_of(args: &[&str]) -> Option<String> {
        let error = Cli::try_parse_from(args).err()?;
        let error = without_secrets(error);
        Some(format!(
            "{error}\n{}\n{}",
            error.render().ansi(),
            message(&error)
        ))
    }

    fn commands<'a>(
        command: &'a clap::Command,
        path: &[&'a str],
        to: &mut Vec<(Vec<&'a str>, &'a clap::Command)>,
    ) {
        for sub in command.get_subcommands() {
            let path = [path, &[sub.get_name()]].concat();
            commands(sub, &path, to);
            to.push((path, sub));
        }
    }

    /// Options of this program, and of programs with known options, in each notation.
    #[test]
    fn no_secret_is_in_an_error() {
        let cli = Cli::command();
        let mut all = Vec::new();
        commands(&cli, &["lsnap"], &mut all);
        let mut refused = 0;
        for (path, command) in &all {
            let own = command.get_arguments().filter_map(|arg| arg.get_long());
            let own = own
                .filter(|name| is_secret(name))
                .map(|name| format!("--{name}"));
            let short = command
                .get_arguments()
                .filter(|arg| arg.get_long().is_some_and(is_secret));
            let short = short
                .filter_map(|arg| arg.get_short())
                .map(|c| format!("-{c}"));
            let foreign = [
                "--password",
                "--encrypt-key",
                "--s3-secret-key",
                "--pasword",
            ]
            .map(str::to_owned);
            for option in own.chain(short).chain(foreign) {
                let between = if option.starts_with("--") { "=" } else { "" };
                let attached = format!("{option}{between}{VALUE}");
                for args in [
                    vec![attached.as_str()],
                    vec![&attached, &attached],
                    vec![&attached, "--json=no"],
                    vec!["--json=no", &attached],
                ] {
                    let args = [&path[..], &args].concat();
                    if let Some(text) = message_of(&args) {
                        assert!(!text.contains(VALUE), "{args:?}: {text}");
                        refused += 1;
                    }
                }
            }
        }
        assert!(refused > 100, "{refused}");
        // Accepted by MySQL's clients, and notations that are often mistaken for them.
        for form in [
            &["--password=Hunter2"][..],
            &["-pHunter2"],
            &["--password", "Hunter2"],
            &["-p", "Hunter2"],
        ] {
            let args = [&["lsnap", "backup", "--to", "/nowhere"], form].concat();
            let text = message_of(&args).unwrap_or_default();
            assert!(!text.contains(VALUE), "{text}");
        }
    }

    #[test]
    fn a_value_of_a_secret_is_removed() {
        let mut error = clap::Error::new(ErrorKind::InvalidValue).with_cmd(&Cli::command());
        error.insert(
            ContextKind::InvalidArg,
            ContextValue::String("--encrypt-key <KEY>".to_owned()),
        );
        error.insert(
            ContextKind::InvalidValue,
            ContextValue::String(VALUE.to_owned()),
        );
        assert!(error.to_string().contains(VALUE));
        assert!(!without_secrets(error).to_string().contains(VALUE));
    }

    #[test]
    fn json_and_streams_are_found_in_unparsed_arguments() {
        let os = |text: &str| text.split(' ').map(OsString::from).collect::<Vec<_>>();
        for (args, json, stream) in [
            ("lsnap list --json --nonsense", true, false),
            ("lsnap list -- --json", false, false),
            ("lsnap --json backup --stream=tar", true, true),
            ("lsnap backup --json", true, false),
            ("lsnap cloud get --json", true, true),
            ("lsnap xbstream -cv --json", true, true),
            ("lsnap xbstream -x --json", true, false),
        ] {
            let args = os(args);
            assert_eq!(
                (wants_json(&args), is_stream(&args)),
                (json, stream),
                "{args:?}"
            );
        }
    }
}
