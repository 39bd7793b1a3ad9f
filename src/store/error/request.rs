//! The kinds of failed requests, and their messages.

use crate::store::backend::fault::Kind;
use std::fmt;

impl RequestFault {
    /// Returns the kind for a classified failure, or `None` for a request without credentials and
    /// for an unclassified failure.
    pub(super) const fn of(kind: Kind) -> Option<Self> {
        Some(match kind {
            Kind::NoBucket => Self::NoBucket,
            Kind::Denied => Self::Denied,
            Kind::Expired => Self::Expired,
            Kind::Tls => Self::Tls,
            Kind::Skew => Self::ClockSkew,
            Kind::WrongScheme => Self::WrongScheme,
            Kind::NotAStore => Self::NotAStore,
            Kind::Archived => Self::Archived,
            Kind::Retained => Self::Retained,
            Kind::TooLarge => Self::TooLarge,
            Kind::Unsupported => Self::Unsupported,
            Kind::Unreachable | Kind::Broken => Self::Unreachable,
            Kind::TimedOut => Self::TimedOut,
            Kind::Busy => Self::Busy,
            Kind::NoCredentials | Kind::Other => return None,
        })
    }
}

/// The message of a failed request. It includes the report of the store or the network.
pub(super) struct Message<'a>(pub(super) RequestFault, pub(super) &'a str);

impl fmt::Display for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = self.1;
        match self.0 {
            RequestFault::Denied => write!(
                f,
                "access denied ({what}); check the credentials and their permissions \
         on the bucket"
            ),
            RequestFault::Expired => write!(
                f,
                "the credentials have expired ({what}); get new ones and run it again"
            ),
            RequestFault::NoBucket => write!(
                f,
                "no such bucket or container ({what}); check its name, the region and the \
         endpoint, or create it (lsnap does not)"
            ),
            RequestFault::Tls => write!(
                f,
                "the connection is not trusted ({what}); set StoreOptions::ca_file to the certificate of the server's authority, or to the \
         server's own if it is self-signed"
            ),
            RequestFault::ClockSkew => write!(
                f,
                "the store refused the request because the clocks differ ({what}); correct this host's clock \
         (the store accepts a difference of about 15 minutes)"
            ),
            RequestFault::WrongScheme => write!(
                f,
                "{what}; correct the endpoint's scheme (http:// also needs StoreOptions::allow_http)"
            ),
            RequestFault::NotAStore => write!(
                f,
                "the response does not come from an object store ({what}): a proxy, a login page of the network \
         or another server responded; check StoreOptions::endpoint and the network"
            ),
            RequestFault::Archived => write!(
                f,
                "the object is in an archive class and can't be read directly ({what}); restore the objects of this backup \
         in the store first (S3: `aws s3api restore-object` for each, or a batch job), then run it again"
            ),
            RequestFault::Retained => write!(
                f,
                "the object is locked or under a retention rule of the store ({what}); it can be deleted when its retention \
         or legal hold has ended"
            ),
            RequestFault::TooLarge => write!(
                f,
                "the object is too large for the store, or for a proxy in front of it ({what}); raise that \
         limit, or set BackupOptions::object_size lower"
            ),
            RequestFault::Unsupported => write!(
                f,
                "the store does not support the request ({what}); if it refuses the checksum, set \
         StoreOptions::checksum_header to false; if it has no conditional puts (`If-None-Match: *`), it can't be used: without them \
         two backups can overwrite each other; use another store or a newer version of it, or back up to a \
         directory and copy that"
            ),
            RequestFault::Unreachable => write!(
                f,
                "the store can't be reached ({what}); check StoreOptions::endpoint, the network and the \
         proxy variables"
            ),
            RequestFault::TimedOut => write!(
                f,
                "no response in time ({what}); for a slow link set StoreOptions::timeout higher"
            ),
            RequestFault::Busy => write!(
                f,
                "the store was busy or failing until the last retry ({what}); run \
         it again later, or set StoreOptions::retry_deadline higher"
            ),
        }
    }
}

/// The kind of a failed request to a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequestFault {
    /// The credentials are valid but lack permission, or they are wrong.
    Denied,
    /// The credentials have expired.
    Expired,
    /// The bucket or container doesn't exist. lsnap doesn't create it.
    NoBucket,
    /// The server's certificate is not trusted.
    Tls,
    /// The clocks differ, so that signatures are not accepted.
    ClockSkew,
    /// TLS was used on a plain HTTP port, or the other way round.
    WrongScheme,
    /// The response doesn't come from a store.
    NotAStore,
    /// The object is in an archive class: it must be restored in the store before it can be read.
    Archived,
    /// The object is locked, or under a retention rule of the store, and can't be removed.
    Retained,
    /// The object is larger than the store, or a proxy in front of it, permits.
    TooLarge,
    /// The store doesn't support a part of S3 that is needed.
    Unsupported,
    /// A connection could not be made, or it broke, also after retries.
    Unreachable,
    /// The response did not come in time, also after retries.
    TimedOut,
    /// The store could not execute the request, also after retries.
    Busy,
}
