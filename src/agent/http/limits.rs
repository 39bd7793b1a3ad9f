//! Limits of connections, sizes and times.

use axum_server::Control;
use axum_server::accept::Accept;
use futures::future::{Either, Ready, ready};
use std::io;
use std::time::Duration;

/// The limits of a server.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Connections at the same time; others are closed at once.
    pub connections: usize,
    /// Requests at the same time; others get 503.
    pub requests: usize,
    /// Streams of events at the same time; others get 503.
    pub streams: usize,
    /// How long a stream of events lives; the client connects again.
    pub stream: Duration,
    /// Longest body, in bytes.
    pub body: usize,
    /// Time for the head of a request, and for a TLS handshake.
    pub head: Duration,
    /// Time for a whole request.
    pub request: Duration,
    /// How long requests may go on after the end.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 128,
            requests: 32,
            streams: 16,
            stream: Duration::from_secs(3600),
            body: 64 << 10,
            head: Duration::from_secs(10),
            request: Duration::from_secs(30),
            grace: Duration::from_secs(3),
        }
    }
}

/// Closes connections that are too many.
#[derive(Clone)]
pub(super) struct Capped<A> {
    pub(super) inner: A,
    pub(super) control: Control,
    pub(super) most: usize,
}

impl<I, S, A: Accept<I, S>> Accept<I, S> for Capped<A> {
    type Stream = A::Stream;
    type Service = A::Service;
    type Future = Either<Ready<io::Result<(A::Stream, A::Service)>>, A::Future>;

    fn accept(&self, stream: I, service: S) -> Self::Future {
        // The count includes this connection.
        if self.control.connection_count() > self.most {
            let error = io::Error::other("there are too many connections");
            return Either::Left(ready(Err(error)));
        }
        Either::Right(self.inner.accept(stream, service))
    }
}
