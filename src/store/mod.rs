//! A repository of backups in an object store: layout, upload, download, manifest, chains.
//!
//! The layout and its names are those of xbcloud and the Percona operator, so that their tools read
//! what is here and lsnap lists what they wrote (`docs/format/manifest.md#keys-and-objects`,
//! `docs/format/manifest.md#backup-names`):
//!
//! ```text
//! lsnap_repository.json                       the repository's marker (`marker`)
//! <cluster>-YYYY-MM-DD-HH:MM:SS-full/
//!     lsnap_upload.json.00000000000000000000     first: takes the name, tells us from xtrabackup
//!     <path>.<20 digits>                         whole xbstream chunks of one file
//!     lsnap_summary.json.00000000000000000000    the manifest without its files, for listings
//!     lsnap_manifest.json.00000000000000000000   last: without it the backup is not finished
//! <cluster>-YYYY-MM-DD-HH:MM:SS-full.incr/
//!     <cluster>-YYYY-MM-DD-HH:MM:SS-incr/...
//!     .lsnap/lease.<20 digits>...                who changed the chain, one after the other (`lease`)
//! .lsnap/readers/...                          who reads which backups now (`readers`)
//! ```
//!
//! Nothing is ever overwritten, and whatever was stored is known by its BLAKE3 digest: objects by the
//! manifest, the manifest by itself. `object_store` is behind: directories, S3, GCS and Azure (`url.rs`
//! says what each needs). The interface blocks; the runtime's threads are the layer's own.

mod abort;
mod answer;
mod aws_profile;
mod azure_connection;
mod base_missing;
mod bounded_list;
mod bucket;
mod chain;
mod chain_group;
mod checked;
mod client;
mod clouds;
mod copy;
mod credentials;
mod decorated;
mod delete;
mod describe;
mod dropped;
mod error;
mod error_kind;
mod fault;
mod finish;
mod foreign;
mod in_progress;
mod key;
mod latest;
mod lease;
mod lease_holder;
mod ledger;
mod listing;
mod local_read;
mod manifest_key;
mod marker;
mod noted;
mod options;
mod order;
mod outage;
mod own;
mod pace;
mod paced;
mod packer;
mod parallel;
mod probe;
mod prune;
mod readers;
mod reading;
mod remote;
mod remove;
mod repository;
mod resume;
mod retention;
mod runtime;
mod s3;
mod short;
mod staged;
mod streamed;
#[cfg(test)]
pub(crate) mod tests;
mod trust;
mod unnameable;
mod upload;
pub(crate) mod url;
pub(crate) mod windows;

pub use bucket::{Bucket, Children, Held};
pub use chain::NextBase;
pub use chain_group::{ChainGroup, chain_groups};
pub use delete::{DeleteOptions, DeleteReport, Deleted, InUse, delete};
pub use describe::{Contents, Description, FileCount, describe};
pub use error::ChainFault;
pub use error::RequestFault;
pub use error::StoreError;
pub use foreign::ForeignInfo;
pub use latest::Choice;
pub use latest::PassedOver;
pub use latest::Unusable;
pub use lease::{DEFAULT_TTL, Deletion, LeaseFault};
pub use lease_holder::LeaseHolder;
pub use listing::{Listed, ListedState};
pub use marker::{ENCRYPTED_ONLY, MARKER, Marker, REPOSITORY_FORMAT};
pub(crate) use noted::Noted;
pub use options::{Addressing, StoreOptions, Variables};
pub use order::{Disagreement, disagreements};
pub(crate) use own::Belongs;
pub(crate) use parallel::each_in_parallel;
pub use prune::{Failed, PruneReport, Skipped, prune};
pub use readers::Reader;
pub use reading::{HasManifest, ReadLease};
pub use remove::Removed;
pub(crate) use remove::{Removal, remove_md5};
pub use repository::Repository;
pub use retention::{Keep, Kept, Policy, ToDelete, Why};
pub use short::ShortNames;
pub use streamed::Streamed;
pub use upload::Upload;
