//! A proxy between lsnap and an S3 server (plain HTTP) that causes faults: by a seed, at a rate, or
//! always for some requests. One request for each connection, whole messages in memory, because the
//! objects in tests are small.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use socket2::SockRef;

use crate::common::http::{body_length, pass};
use crate::random::Random;

/// The fault of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Harm {
    /// The port refuses connections for a moment; this one is reset.
    Refuse,
    /// Reset (RST) before a byte of the request was read.
    ResetAtOnce,
    /// Reset in the middle of the request's body.
    ResetRequest,
    /// The store executes the request; the connection is reset without an answer.
    ResetAnswer,
    /// The store executes the request; the connection is reset in the middle of the answer.
    ResetHalf,
    /// The store executes the request; the answer has a larger length field than body, and ends
    /// properly.
    Half,
    /// 500, and the request was not executed.
    Internal,
    /// 500, although the request was executed.
    InternalDone,
    /// 503 SlowDown.
    SlowDown,
    /// 429 with Retry-After.
    TooMany,
    /// The request is executed late.
    Late,
}

/// The temporary faults.
pub const PASSING: [Harm; 11] = [
    Harm::Refuse,
    Harm::ResetAtOnce,
    Harm::ResetRequest,
    Harm::ResetAnswer,
    Harm::ResetHalf,
    Harm::Half,
    Harm::Internal,
    Harm::InternalDone,
    Harm::SlowDown,
    Harm::TooMany,
    Harm::Late,
];

/// The faults of the requests.
#[derive(Debug)]
pub enum Plan {
    /// No fault.
    Quiet,
    /// One of these faults for one request in `every`.
    Some {
        harms: Vec<Harm>,
        every: u64,
        random: Random,
    },
    /// This fault for every request from the `n`-th on (from 0).
    From(u64, Harm),
    /// 403 ExpiredToken for every request from the `n`-th on.
    Expired(u64),
    /// One changed byte in the middle of data that is read from keys that contain this text.
    Flip(String),
    /// SIGKILL to the client at the `n`-th request: before it is forwarded, or before it is
    /// answered.
    Kill { at: u64, done: bool },
}

struct Shared {
    server: u16,
    plan: Mutex<Plan>,
    client: Mutex<Option<i32>>,
    seen: AtomicU64,
    harmed: AtomicU64,
    refuse: AtomicBool,
}

/// The proxy; its threads end with the process.
pub struct Proxy {
    pub port: u16,
    shared: Arc<Shared>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|e| e.into_inner())
}

impl Proxy {
    pub fn before(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            server,
            plan: Mutex::new(Plan::Quiet),
            client: Mutex::new(None),
            seen: AtomicU64::new(0),
            harmed: AtomicU64::new(0),
            refuse: AtomicBool::new(false),
        });
        let theirs = Arc::clone(&shared);
        std::thread::spawn(move || listen(listener, port, &theirs));
        Self { port, shared }
    }

    /// Sets the plan; counts begin at 0.
    pub fn plan(&self, plan: Plan) {
        *lock(&self.shared.client) = None;
        *lock(&self.shared.plan) = plan;
        self.shared.seen.store(0, Ordering::SeqCst);
        self.shared.harmed.store(0, Ordering::SeqCst);
    }

    /// Sets the process for [`Plan::Kill`]: after the process was started, which may have sent
    /// requests already.
    pub fn client(&self, pid: u32) {
        *lock(&self.shared.client) = i32::try_from(pid).ok();
    }

    /// Returns the number of requests since the plan was set.
    pub fn seen(&self) -> u64 {
        self.shared.seen.load(Ordering::SeqCst)
    }

    /// Returns the number of requests with a fault.
    pub fn harmed(&self) -> u64 {
        self.shared.harmed.load(Ordering::SeqCst)
    }
}

/// Accepts connections; on request, closes the port for a moment, so that connections are refused.
fn listen(mut listener: TcpListener, port: u16, shared: &Arc<Shared>) {
    listener.set_nonblocking(true).unwrap();
    loop {
        if shared.refuse.swap(false, Ordering::SeqCst) {
            drop(listener);
            std::thread::sleep(Duration::from_millis(150));
            listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
            listener.set_nonblocking(true).unwrap();
        }
        let Ok((mut client, _)) = listener.accept() else {
            std::thread::sleep(Duration::from_millis(1));
            continue;
        };
        client.set_nonblocking(false).unwrap();
        let shared = Arc::clone(shared);
        std::thread::spawn(move || {
            // a client that disconnects is expected here
            let _ = serve(&mut client, &shared);
        });
    }
}

fn reset(client: &TcpStream) -> std::io::Result<()> {
    SockRef::from(client).set_linger(Some(Duration::ZERO))
}

/// The action of a plan for the request with this number.
enum Fate {
    Pass,
    Harm(Harm),
    Expired,
    Flip,
    Kill { done: bool },
}

fn fate(plan: &mut Plan, number: u64, key: &str) -> Fate {
    match plan {
        Plan::Some {
            harms,
            every,
            random,
        } => match random.below(*every) {
            0 => Fate::Harm(*random.of(harms)),
            _ => Fate::Pass,
        },
        Plan::From(from, harm) if number >= *from => Fate::Harm(*harm),
        Plan::Expired(from) if number >= *from => Fate::Expired,
        Plan::Flip(part) if key.starts_with("GET") && key.contains(part.as_str()) => Fate::Flip,
        Plan::Kill { at, done } if number == *at => Fate::Kill { done: *done },
        _ => Fate::Pass,
    }
}

fn serve(client: &mut TcpStream, shared: &Shared) -> std::io::Result<()> {
    let (head, length) = head(client)?;
    let line = head.split(|b| *b == b'\r').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line).into_owned();
    let number = shared.seen.fetch_add(1, Ordering::SeqCst);
    let fate = fate(&mut lock(&shared.plan), number, &line);
    if !matches!(fate, Fate::Pass) {
        shared.harmed.fetch_add(1, Ordering::SeqCst);
    }
    if let Fate::Harm(harm @ (Harm::Refuse | Harm::ResetAtOnce | Harm::ResetRequest)) = fate {
        let half = u64::try_from(length / 2).unwrap_or_default();
        if harm == Harm::ResetRequest {
            std::io::copy(&mut client.take(half), &mut std::io::sink())?;
        }
        shared
            .refuse
            .fetch_or(harm == Harm::Refuse, Ordering::SeqCst);
        return reset(client);
    }
    let mut request = head;
    let at = request.len();
    request.resize(at + length, 0);
    client.read_exact(&mut request[at..])?;
    match fate {
        Fate::Pass => client.write_all(&pass(&request, shared.server)?)?,
        Fate::Harm(harm) => return harmed(client, harm, &request, shared),
        Fate::Expired => client.write_all(&answer("403 Forbidden", "", "ExpiredToken"))?,
        Fate::Flip => {
            let mut bytes = pass(&request, shared.server)?;
            let body = bytes.windows(4).position(|w| w == b"\r\n\r\n");
            let body = body.map_or(bytes.len(), |n| n + 4);
            let middle = usize::midpoint(body, bytes.len());
            if let Some(byte) = bytes.get_mut(middle) {
                *byte ^= 0x10;
            }
            client.write_all(&bytes)?;
        }
        Fate::Kill { done } => {
            if done {
                pass(&request, shared.server)?;
            }
            kill(shared);
            return Ok(());
        }
    }
    client.shutdown(Shutdown::Both)
}

/// Kills the client. It may have connected before its process id was set.
fn kill(shared: &Shared) {
    let mut pid = None;
    while pid.is_none() {
        pid = *lock(&shared.client);
        std::thread::yield_now();
    }
    if let Some(pid) = pid.and_then(Pid::from_raw) {
        let _ = kill_process(pid, Signal::KILL);
    }
}

fn harmed(
    client: &mut TcpStream,
    harm: Harm,
    request: &[u8],
    shared: &Shared,
) -> std::io::Result<()> {
    match harm {
        Harm::Refuse | Harm::ResetAtOnce | Harm::ResetRequest => {}
        Harm::ResetAnswer => {
            pass(request, shared.server)?;
            return reset(client);
        }
        Harm::ResetHalf | Harm::Half => {
            let bytes = pass(request, shared.server)?;
            client.write_all(&bytes[..bytes.len() - bytes.len() / 3])?;
            if harm == Harm::ResetHalf {
                return reset(client);
            }
        }
        Harm::Internal | Harm::InternalDone => {
            if harm == Harm::InternalDone {
                pass(request, shared.server)?;
            }
            client.write_all(&answer("500 Internal Server Error", "", "InternalError"))?;
        }
        Harm::SlowDown => client.write_all(&answer("503 Slow Down", "", "SlowDown"))?,
        Harm::TooMany => client.write_all(&answer(
            "429 Too Many Requests",
            "retry-after: 1\r\n",
            "TooManyRequests",
        ))?,
        Harm::Late => {
            std::thread::sleep(Duration::from_millis(400));
            client.write_all(&pass(request, shared.server)?)?;
        }
    }
    client.shutdown(Shutdown::Both)
}

fn answer(status: &str, headers: &str, code: &str) -> Vec<u8> {
    let body = format!("<Error><Code>{code}</Code><Message>by plan</Message></Error>");
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nconnection: close\r\n{headers}content-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// Reads the head of a request, including the empty line, and returns the length of its body.
fn head(stream: &mut TcpStream) -> std::io::Result<(Vec<u8>, usize)> {
    let mut bytes = Vec::new();
    let mut one = [0];
    // byte by byte, so that the body stays in the socket: a reset discards it unread
    while !bytes.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut one)?;
        bytes.push(one[0]);
    }
    let length = body_length(&bytes);
    Ok((bytes, length))
}
