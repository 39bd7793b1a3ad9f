//! Translates fields of the library to options. Messages of the library name fields of its option structs
//! (`BackupOptions::spool_dir`); the program prints the options that set them (`--spool-dir`).
//!
//! [`super::output`] translates everything that the program prints. An option has the name of its field in kebab case,
//! or the name in [`DIFFERENT`].

use std::borrow::Cow;

/// The option structs of the library, each with the subcommands that fill it.
pub(super) const STRUCTS: &[(&str, &[&str])] = &[
    ("BackupOptions", &["backup"]),
    ("ConnectOptions", &["backup"]),
    ("ConsolidateOptions", &["consolidate"]),
    ("CopyOptions", &["copy"]),
    ("CreateOptions", &["xbstream"]),
    ("DeleteOptions", &["delete", "prune"]),
    ("ExtractOptions", &["xbstream"]),
    ("FifoOptions", &["xbstream", "backup"]),
    ("FileChoice", &["backup"]),
    ("FullWhen", &["backup"]),
    ("GetOptions", &["cloud"]),
    ("InPlaceOptions", &["decompress", "decrypt"]),
    ("LatestOf", &["restore"]),
    ("ListOptions", &["xbstream"]),
    ("Overrides", &["backup"]),
    ("Policy", &["prune"]),
    ("Priority", &["backup"]),
    ("PutOptions", &["cloud"]),
    ("RestoreOptions", &["restore"]),
    ("StoreOptions", &["list"]),
    ("TestRestoreOptions", &["verify"]),
    ("VerifyOptions", &["verify"]),
];

/// The option structs that only the programs under xtrabackup's names fill; `compat` has their options.
pub(super) const OF_COMPAT: &[&str] = &["BackOptions", "PrepareOptions"];

/// Fields, and variants of fields' types, whose options have other names.
pub(super) const DIFFERENT: &[(&str, &str)] = &[
    ("Addressing::Path", "--path-style"),
    ("Addressing::VirtualHosted", "--virtual-hosted"),
    ("ApplierChoice::Auto", "--redo-applier=auto"),
    ("ApplierChoice::Mysqld", "--redo-applier=mysqld"),
    ("ApplierChoice::Server", "--redo-applier=server"),
    ("ApplierChoice::Xtrabackup", "--redo-applier=xtrabackup"),
    ("BaseChoice::Latest", "--incremental"),
    ("BaseChoice::Named", "--base"),
    ("BackupOptions::allow_untested", "--allow-untested-server"),
    ("BackupOptions::compression", "--compress"),
    ("BackupOptions::key", "--key-file"),
    ("BackupOptions::mode", "--read"),
    ("BackupOptions::overlap", "--no-overlap"),
    ("BackupOptions::priority", "--nice and --ionice"),
    ("BackupOptions::stop_applier", "--safe-slave-backup"),
    ("BackupOptions::threads", "--parallel"),
    ("BackupOptions::uncompressed", "--compress=none"),
    ("ConnectOptions::transport", "--host or --socket"),
    ("ConsolidateOptions::key", "--key-file"),
    ("ConsolidateOptions::name", "--to-name"),
    ("ConsolidateOptions::threads", "--parallel"),
    ("CopyOptions::key", "--key-file"),
    ("DeleteOptions::lease", "--lease-ttl"),
    ("ExtractOptions::key", "--decrypt"),
    ("FifoOptions::count", "--fifo-streams"),
    ("FifoOptions::directory", "--fifo-dir"),
    ("FifoOptions::timeout", "--fifo-timeout"),
    ("FileChoice::group_suffix", "--defaults-group-suffix"),
    ("FullWhen::incrementals", "--max-incrementals"),
    ("FullWhen::older_than", "--full-every"),
    ("Level::Data", "--data"),
    ("Level::Restore", "--restore"),
    ("Overrides::ask_password", "--password"),
    ("Policy::may_delete_all", "--all"),
    ("Priority::io", "--ionice"),
    ("RestoreOptions::accepted_errors", "--accept-error"),
    ("RestoreOptions::applier", "--redo-applier"),
    ("RestoreOptions::key", "--key-file"),
    ("RestoreOptions::mysqld_args", "--mysqld-arg"),
    ("RestoreOptions::threads", "--parallel"),
    ("RestoreOptions::user", "--owner"),
    (
        "StoreOptions::addressing",
        "--path-style or --virtual-hosted",
    ),
    ("StoreOptions::checksum_header", "--no-checksum-header"),
    ("StoreOptions::headers", "--header"),
    ("StoreOptions::profile", "--aws-profile"),
    ("TestRestoreOptions::accepted_errors", "--accept-error"),
    ("TestRestoreOptions::mysqld_args", "--mysqld-arg"),
    ("TestRestoreOptions::user", "--owner"),
    ("TrackingChoice::Auto", "--page-tracking=auto"),
    ("TrackingChoice::Off", "--page-tracking=off"),
    ("TrackingChoice::On", "--page-tracking=on"),
    ("VerifyOptions::key", "--key-file"),
    ("VerifyOptions::level", "--data or --restore"),
    ("VerifyOptions::threads", "--parallel"),
];

/// Replaces the paths of fields in a text by options. " to true" after a path is removed ("set
/// `BackupOptions::allow_untested` to true"), as is " to false" if the option negates the field.
pub(super) fn translated(text: &str) -> Cow<'_, str> {
    translated_by(text, &|_, _| None)
}

/// The same for another program. `own` returns the option of that program for a type and its field; an option that only
/// lsnap has is named with its command.
pub(super) fn translated_by<'a>(text: &'a str, own: OwnOption<'_>) -> Cow<'a, str> {
    let mut out = String::new();
    let mut copied = 0;
    for (at, _) in text.match_indices("::") {
        let Some(found) = path_at(&text[copied..], at.saturating_sub(copied), own) else {
            continue;
        };
        out += &text[copied..copied + found.start];
        out += &found.option;
        copied += found.end;
        let negates = found.option.trim_start_matches('-').starts_with("no-");
        let value = if found.negates.unwrap_or(negates) {
            " to false"
        } else {
            " to true"
        };
        if text[copied..].starts_with(value) {
            copied += value.len();
        }
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    out += &text[copied..];
    Cow::Owned(out)
}

/// Returns the option of another program for a type and its field, if it has one.
pub(super) type OwnOption<'a> = &'a dyn Fn(&str, &str) -> Option<String>;

/// A path in a text, and the option that replaces it.
struct Found {
    start: usize,
    end: usize,
    option: String,
    /// Whether the option negates the field, if that is not to be seen from its name.
    negates: Option<bool>,
}

/// Returns the path whose `::` is at `at`. The text before it must end with the type. No word boundary is required,
/// because in JSON the characters `\n` can precede it.
fn path_at(text: &str, at: usize, own: OwnOption<'_>) -> Option<Found> {
    let before = text.get(..at)?;
    let tail = text.get(at + 2..)?;
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let len = tail.find(|c| !is_word(c)).unwrap_or(tail.len());
    let field = &tail[..len];
    let types = STRUCTS.iter().map(|(name, _)| *name);
    let types = types.chain(
        DIFFERENT
            .iter()
            .filter_map(|(path, _)| Some(path.split_once("::")?.0)),
    );
    let owner = types
        .chain(OF_COMPAT.iter().copied())
        .filter(|name| before.ends_with(name))
        .max_by_key(|name| name.len())?;
    let of_other = own(owner, field);
    Some(Found {
        start: at - owner.len(),
        end: at + 2 + len,
        negates: of_other.as_ref().map(|_| false),
        option: of_other.or_else(|| option(owner, field))?,
    })
}

/// Returns the option that sets a field or selects a variant.
fn option(owner: &str, field: &str) -> Option<String> {
    let path = format!("{owner}::{field}");
    if let Some((_, option)) = DIFFERENT.iter().find(|(different, _)| *different == path) {
        return Some((*option).to_owned());
    }
    let is_field = field.starts_with(|c: char| c.is_ascii_lowercase());
    let of_struct = STRUCTS.iter().any(|(name, _)| *name == owner);
    (is_field && of_struct).then(|| format!("--{}", field.replace('_', "-")))
}

/// Returns the option of lsnap that sets a field, with the command that has it.
pub(super) fn with_command(owner: &str, field: &str) -> Option<String> {
    let option = option(owner, field)?;
    let commands = STRUCTS.iter().find(|(name, _)| *name == owner);
    let command = commands.and_then(|(_, commands)| commands.first());
    Some(match command {
        Some(command) => format!("{option} of `lsnap {command}`"),
        None => format!("{option} of `lsnap`"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_become_options() {
        for (text, expected) in [
            (
                "no path: a::b, Vec::new, ::, ü::",
                "no path: a::b, Vec::new, ::, ü::",
            ),
            ("set BackupOptions::spool_dir.", "set --spool-dir."),
            ("(BackupOptions::threads)", "(--parallel)"),
            (
                "TestRestoreOptions::user, RestoreOptions::user",
                "--owner, --owner",
            ),
            (
                "set BackupOptions::allow_untested to true, or",
                "set --allow-untested-server, or",
            ),
            (
                "set StoreOptions::checksum_header to false",
                "set --no-checksum-header",
            ),
            (
                "set StoreOptions::allow_http to false",
                "set --allow-http to false",
            ),
            (
                "use ApplierChoice::Xtrabackup",
                "use --redo-applier=xtrabackup",
            ),
            (
                "ApplierChoice::Other, Policy::",
                "ApplierChoice::Other, Policy::",
            ),
            (
                r#"{"a": "x\nPolicy::keep_full"}"#,
                r#"{"a": "x\n--keep-full"}"#,
            ),
            ("lsnap::::Policy::may_delete_all", "lsnap::::--all"),
        ] {
            assert_eq!(translated(text), expected);
        }
    }
}
