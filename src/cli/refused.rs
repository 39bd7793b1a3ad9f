//! The text of an error of clap, for one line or a JSON document.

use clap::error::ErrorKind;

/// The error without the usage below it, in one paragraph or a few.
pub(super) fn message(error: &clap::Error) -> String {
    match error.kind() {
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand => {
            "a command is missing: see `lsnap --help`".to_owned()
        }
        _ => {
            let text = error.to_string();
            let text = text.split("\n\nUsage:").next().unwrap_or_default();
            let text = text.split("\n\nFor more information").next();
            let text = text.unwrap_or_default().trim();
            text.strip_prefix("error: ").unwrap_or(text).to_owned()
        }
    }
}
