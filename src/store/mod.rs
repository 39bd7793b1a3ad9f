//! A repository of backups in an object store: layout, upload, download, manifest, chains.
//!
//! The layout and its names are those of xbcloud and the Percona operator, so that their tools can
//! read lsnap's backups and lsnap can list theirs (`docs/format/manifest.md#keys-and-objects`,
//! `docs/format/manifest.md#backup-names`):
//!
//! ```text
//! lsnap_repository.json                       the repository's marker (`marker`)
//! <cluster>-YYYY-MM-DD-HH:MM:SS-full/
//!     lsnap_upload.json.00000000000000000000     first: claims the name, marks it as lsnap's
//!     <path>.<20 digits>                         complete xbstream chunks of one file
//!     lsnap_summary.json.00000000000000000000    the manifest without its files, for listings
//!     lsnap_manifest.json.00000000000000000000   last: without it the backup is not finished
//! <cluster>-YYYY-MM-DD-HH:MM:SS-full.incr/
//!     <cluster>-YYYY-MM-DD-HH:MM:SS-incr/...
//!     .lsnap/lease.<20 digits>...                the sequence of changes of the chain (`lease`)
//! .lsnap/readers/...                          the current readers of backups (`readers`)
//! .lsnap/slots/<schedule>/...                 the slots of schedules (`slots`)
//! ```
//!
//! Objects are never overwritten, and are checked by their BLAKE3 digests: objects by the manifest,
//! the manifest by itself. Access goes through `object_store`: directories, S3, GCS and Azure
//! (`url.rs` lists their requirements). The interface blocks; the module has its own runtime
//! threads.

mod backend;
mod deletion;
mod error;
mod lease;
mod listing;
mod objects;
mod slots;
#[cfg(test)]
pub(crate) mod tests;
mod upload;

pub use backend::options::{Addressing, StoreOptions, Variables};
pub use backend::put_options::{Headers, ObjectLockMode, Sse};
pub(crate) use backend::url;
pub use deletion::delete::{DeleteReport, Deleted, delete};
pub(crate) use deletion::noted::DeletionNotes;
pub use deletion::options::DeleteOptions;
pub use deletion::prune::{Failed, PruneReport, Skipped, prune};
pub use deletion::remove::Removed;
pub(crate) use deletion::remove::{Removal, remove_md5};
pub(crate) use deletion::retention::kept_backups;
pub use deletion::retention::{Keep, Kept, Policy, ToDelete, Why};
pub use error::{
    BackupFault, BaseFault, ChainFault, DeletionFault, LeaseFault, ListingFault, OpenFault,
    RequestFault, SlotFault, StoreError, UploadFault,
};
pub use lease::chain_lease::{DEFAULT_TTL, Deletion};
pub use lease::holder::LeaseHolder;
pub use lease::readers::Reader;
pub use lease::reading::{HasManifest, ReadLease};
pub use listing::chain::NextBase;
pub use listing::chain_group::{ChainGroup, chain_groups};
pub use listing::describe::{Contents, Description, FileCount, describe};
pub use listing::foreign::ForeignInfo;
pub use listing::health::{ClusterHealth, Limits, health};
pub use listing::latest::Choice;
pub use listing::listed::{Listed, ListedState};
pub use listing::order::{Disagreement, disagreements};
pub use listing::passed_over::{PassedOver, Unusable};
pub use listing::scope::LatestOf;
pub use listing::streamed::Streamed;
pub use objects::bucket::{Bucket, Children, Held};
pub use objects::marker::{ENCRYPTED_ONLY, MARKER, Marker, REPOSITORY_FORMAT};
pub(crate) use objects::own::Belongs;
pub(crate) use objects::parallel::each_in_parallel;
pub use objects::repository::Repository;
pub use objects::short::ShortNames;
pub(crate) use objects::windows;
pub use slots::SlotClaim;
pub(crate) use slots::{
    Claimed, Decided, Ended, Entry, ScheduleSlots, Seen, SlotEnd, valid_schedule_name,
};
pub(crate) use upload::replica::{Original, Replica};
pub use upload::state::Upload;
