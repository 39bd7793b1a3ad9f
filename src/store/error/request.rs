//! Failed requests, by kind.

use crate::store::backend::fault::Kind;
use std::fmt;

impl RequestFault {
    /// `None` of a request that could not be signed, and of a failure of no kind.
    pub(super) const fn of(kind: Kind) -> Option<Self> {
        Some(match kind {
            Kind::NoBucket => Self::NoBucket,
            Kind::Denied => Self::Denied,
            Kind::Expired => Self::Expired,
            Kind::Tls => Self::Tls,
            Kind::Skew => Self::ClockSkew,
            Kind::WrongScheme => Self::WrongScheme,
            Kind::NotAStore => Self::NotAStore,
            Kind::TooLarge => Self::TooLarge,
            Kind::Unsupported => Self::Unsupported,
            Kind::Unreachable | Kind::Broken => Self::Unreachable,
            Kind::TimedOut => Self::TimedOut,
            Kind::Busy => Self::Busy,
            Kind::NoCredentials | Kind::Other => return None,
        })
    }
}

/// A failed request, in words: what the store or the network said stands within them.
pub(super) struct Told<'a>(pub(super) RequestFault, pub(super) &'a str);

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = self.1;
        match self.0 {
            RequestFault::Denied => write!(
                f,
                "access denied ({what}); check the credentials and the rights of their owner \
         on the bucket"
            ),
            RequestFault::Expired => write!(
                f,
                "the credentials have expired ({what}); get new ones and run it again"
            ),
            RequestFault::NoBucket => write!(
                f,
                "no such bucket or container ({what}); check its name, the region and the \
         endpoint, or make it (lsnap does not)"
            ),
            RequestFault::Tls => write!(
                f,
                "no trusted connection ({what}); name the certificate of the server's authority, or the \
         server's own if it signed it itself, with --ca-file"
            ),
            RequestFault::ClockSkew => write!(
                f,
                "the store refused the request because the clocks differ ({what}); set this host's clock \
         right (the store accepts a difference of about 15 minutes)"
            ),
            RequestFault::WrongScheme => write!(
                f,
                "{what}; correct the endpoint's scheme (http:// also needs --allow-http)"
            ),
            RequestFault::NotAStore => write!(
                f,
                "the answer is not one of an object store ({what}): a proxy, a login page of the network \
         or another server answers; check --endpoint and the network"
            ),
            RequestFault::TooLarge => write!(
                f,
                "the object is too large for the store, or for a proxy before it ({what}); raise that \
         limit, or make smaller objects with --object-size"
            ),
            RequestFault::Unsupported => write!(
                f,
                "the store does not have what the request needs ({what}); if it refuses the checksum, give \
         --no-checksum-header; if it has no conditional puts (`If-None-Match: *`), it can't be used: without them \
         two backups can overwrite each other; use another store or a newer version of it, or back up to a \
         directory and copy that"
            ),
            RequestFault::Unreachable => write!(
                f,
                "the store can't be reached ({what}); check --endpoint, the network and the \
         proxy variables"
            ),
            RequestFault::TimedOut => write!(
                f,
                "no answer in time ({what}); a slow link needs a longer --timeout"
            ),
            RequestFault::Busy => write!(
                f,
                "the store was busy or failing until the retries were used up ({what}); run \
         it again later, or with a longer --retry-deadline"
            ),
        }
    }
}

/// What kind of failure a request to a store had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequestFault {
    /// The store knows who asks, and refuses.
    Denied,
    /// The credentials were good once.
    Expired,
    /// No such bucket or container; lsnap makes none.
    NoBucket,
    /// The server is not one that is trusted.
    Tls,
    /// The clocks differ, so that no signature is accepted.
    ClockSkew,
    /// TLS at a port of plain HTTP, or the other way round.
    WrongScheme,
    /// Something else answers than a store.
    NotAStore,
    /// An object is longer than the store, or a proxy before it, accepts.
    TooLarge,
    /// The store lacks a part of S3 that is needed.
    Unsupported,
    /// No connection, or it broke, also when tried again.
    Unreachable,
    /// No answer in time, also when tried again.
    TimedOut,
    /// The store could not, also when tried again.
    Busy,
}
