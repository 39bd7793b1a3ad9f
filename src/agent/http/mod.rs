//! The agent's own HTTP server: the API `/v1`, the probes, the metrics and the status page.
//!
//! | module | contents |
//! |---|---|
//! | [`api`] | the parts of the agent that the handlers use, as a trait that tests replace |
//! | [`error`] | errors: their statuses and their one JSON shape |
//! | [`listen`] | addresses and sockets, and the rule on TLS and credentials |
//! | [`tls`] | certificates |
//! | [`token`] | the bearer token |
//! | [`guard`] | which requests are answered |
//! | [`limits`] | limits of connections, sizes and times |
//! | [`shared`] | what the handlers share |
//! | [`router`] | the paths |
//! | [`server`] | the server itself |
//! | [`v1`] | the API |
//! | [`probes`] | `/healthz` and `/readyz` |
//! | [`metrics`] | `/metrics` |
//! | [`page`] | the status page |

mod api;
mod error;
mod guard;
mod limits;
mod listen;
mod metrics;
mod page;
mod probes;
mod router;
mod server;
mod shared;
#[cfg(test)]
mod tests;
mod tls;
mod token;
mod v1;

pub(crate) use api::Api;
pub(crate) use listen::HttpError;
pub(crate) use server::Server;
