//! The kind of each error of a backup. The match has no wildcard: each new variant needs a
//! decision.

use super::BackupError;
use crate::error_kind::ErrorKind;

impl BackupError {
    /// Returns the kind of the error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Datadir(error) => error.kind(),
            Self::Delta(error) => error.kind(),
            Self::Innodb(error) => error.kind(),
            Self::Server(error) => error.kind(),
            Self::Store(error) => error.kind(),
            Self::Xbstream(error) => error.kind(),
            Self::Codec(error) => error.kind(),
            Self::Stream(error) => ErrorKind::of_io(error),
            Self::Io { source, .. } => ErrorKind::of_io(source),
            Self::ObjectSize { .. }
            | Self::LsnInRepository { .. }
            | Self::Filter(_)
            | Self::PartialInRepository => ErrorKind::Arguments,
            Self::Key { .. } => ErrorKind::Key,
            Self::PageFromTheFuture { .. } => ErrorKind::Damaged,
            Self::LostSinceBase { .. } | Self::BaseUnusable { .. } | Self::LsnAhead { .. } => {
                ErrorKind::ChainBroken
            }
            Self::SessionLost(_) => ErrorKind::Unreachable,
            Self::RedoOverwritten { .. } | Self::RedoKey { .. } | Self::UndoTruncated { .. } => {
                ErrorKind::Changed
            }
            Self::OtherDatadir { .. }
            | Self::NoRedo { .. }
            | Self::RedoShort { .. }
            | Self::NoLogChecksum { .. }
            | Self::Applier { .. }
            | Self::Binlog { .. }
            | Self::MissingTables { .. }
            | Self::OtherEngines { .. }
            | Self::UnreadableSdi { .. }
            | Self::NothingMatches { .. }
            | Self::LogTable { .. }
            | Self::SchemaName { .. }
            | Self::PageTracking { .. }
            | Self::History { .. }
            | Self::RedoDisabled
            | Self::LogChecksumsOff
            | Self::NoTablespaces => ErrorKind::Precondition,
            Self::Priority { .. } => ErrorKind::System,
            Self::Interrupted | Self::InterruptedStream => ErrorKind::Interrupted,
            Self::Panicked(_) => ErrorKind::Internal,
        }
    }

    /// Returns whether the same call can succeed later ([`ErrorKind::is_retryable`]).
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.kind().is_retryable()
    }
}
