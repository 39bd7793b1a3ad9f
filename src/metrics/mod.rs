//! Metrics for Prometheus: their table, their text, and those of a repository.
//!
//! | module | contents |
//! |---|---|
//! | [`families`] | the table of all metrics |
//! | [`text`] | samples and their text format |
//! | [`listing`] | the metrics of a repository |

pub(crate) mod families;
mod listing;
#[cfg(test)]
mod reference;
mod text;

pub(crate) use listing::{kind_name, last_backups, of_listing};
pub(crate) use text::{FILE_HEAD, Sample, format, parse};

/// Exit code of a command that found damage.
pub(crate) const DAMAGE_CODE: u8 = 13;
