//! A proxy between lsnap and a server (plain HTTP) that causes faults by a plan: one action for
//! each request, in order; after the last action, all requests are forwarded.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::http::{body_length, pass};

/// The action for a request.
#[derive(Debug, Clone)]
pub enum Deed {
    /// Forwards the request and the answer.
    Pass,
    /// Forwards the request; closes the connection without an answer.
    LoseAnswer,
    /// Forwards the request; returns another answer.
    ReplaceAnswer(&'static str),
    /// Doesn't forward the request; returns this answer.
    Answer(&'static str),
    /// Doesn't forward the request; closes the connection.
    Drop,
    /// Doesn't forward the request; doesn't answer until the client disconnects.
    Hang,
    /// Forwards the request; cuts the answer off in the middle of its body.
    Half,
    /// [`Deed::Answer`] for requests whose head contains this text; other requests are forwarded.
    AnswerIf(&'static str, &'static str),
}

pub const SLOW_DOWN: &str =
    "HTTP/1.1 503 Slow Down\r\ncontent-length: 38\r\n\r\n<Error><Code>SlowDown</Code></Error>  ";
pub const TOO_MANY: &str = "HTTP/1.1 429 Too Many Requests\r\ncontent-length: 0\r\n\r\n";
pub const CONFLICT: &str = "HTTP/1.1 409 Conflict\r\ncontent-length: 54\r\n\r\n<Error><Code>ConditionalRequestConflict</Code></Error>";
pub const UNAVAILABLE: &str = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";
pub const EXPIRED: &str = "HTTP/1.1 400 Bad Request\r\ncontent-length: 72\r\n\r\n<Error><Code>ExpiredToken</Code><Message>it has expired</Message></Error>";

/// The proxy; its threads end with the process.
pub struct Proxy {
    pub port: u16,
    plan: Arc<Mutex<VecDeque<Deed>>>,
    seen: Arc<Mutex<Vec<String>>>,
    heads: Arc<Mutex<Vec<String>>>,
    always: Arc<Mutex<Option<Deed>>>,
    away: Arc<AtomicBool>,
}

impl Proxy {
    pub fn before(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Self {
            port: listener.local_addr().unwrap().port(),
            plan: Arc::default(),
            seen: Arc::default(),
            heads: Arc::default(),
            always: Arc::default(),
            away: Arc::default(),
        };
        let (plan, seen) = (Arc::clone(&proxy.plan), Arc::clone(&proxy.seen));
        let (heads, always) = (Arc::clone(&proxy.heads), Arc::clone(&proxy.always));
        let serve = move |client: TcpStream| {
            let (plan, seen) = (Arc::clone(&plan), Arc::clone(&seen));
            let (heads, always) = (Arc::clone(&heads), Arc::clone(&always));
            std::thread::spawn(move || {
                let mut client = client;
                client.set_nonblocking(false).unwrap();
                let _ = serve(&mut client, server, &plan, &always, &seen, &heads);
            });
        };
        let (port, away) = (proxy.port, Arc::clone(&proxy.away));
        std::thread::spawn(move || {
            let mut listener = Some(listener);
            loop {
                if away.load(Ordering::Acquire) {
                    listener = None;
                } else if listener.is_none() {
                    listener = TcpListener::bind(("127.0.0.1", port)).ok();
                }
                let accepted = listener.as_ref().and_then(|listener| {
                    listener.set_nonblocking(true).unwrap();
                    listener.accept().ok()
                });
                match accepted {
                    Some((client, _)) => serve(client),
                    None => std::thread::sleep(Duration::from_millis(2)),
                }
            }
        });
        proxy
    }

    /// Starts or stops refusing connections.
    pub fn away(&self, away: bool) {
        self.away.store(away, Ordering::Release);
        // the thread checks the flag every few milliseconds
        std::thread::sleep(Duration::from_millis(50));
    }

    /// Sets the action for all requests after the end of the plan.
    pub fn always(&self, deed: Option<Deed>) {
        *self.always.lock().unwrap() = deed;
    }

    pub fn plan(&self, deeds: &[Deed]) {
        *self.plan.lock().unwrap() = deeds.iter().cloned().collect();
        self.seen.lock().unwrap().clear();
        self.heads.lock().unwrap().clear();
    }

    /// Returns the heads of the requests since the plan was set.
    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }

    /// Returns the methods of the requests since the plan was set.
    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

/// Handles one connection with one request; it is closed afterwards.
fn serve(
    client: &mut TcpStream,
    server: u16,
    plan: &Mutex<VecDeque<Deed>>,
    always: &Mutex<Option<Deed>>,
    seen: &Mutex<Vec<String>>,
    heads: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let request = message(client)?;
    if request.is_empty() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&request[..request.len().min(2000)]).into_owned();
    let method = text.split(' ').next().unwrap_or_default().to_owned();
    seen.lock().unwrap().push(method);
    let always = always.lock().unwrap().clone();
    let deed = plan.lock().unwrap().pop_front().or(always);
    let deed = match deed.unwrap_or(Deed::Pass) {
        Deed::AnswerIf(part, answer) if text.contains(part) => Deed::Answer(answer),
        Deed::AnswerIf(..) => Deed::Pass,
        deed => deed,
    };
    heads.lock().unwrap().push(text);
    match deed {
        Deed::Pass => client.write_all(&pass(&request, server)?)?,
        Deed::LoseAnswer => drop(pass(&request, server)?),
        Deed::ReplaceAnswer(answer) => {
            pass(&request, server)?;
            client.write_all(closing(answer).as_bytes())?;
        }
        Deed::Answer(answer) => client.write_all(closing(answer).as_bytes())?,
        Deed::Drop => {}
        Deed::Hang => {
            client.set_read_timeout(Some(Duration::from_secs(60)))?;
            let _ = client.read(&mut [0; 1]);
        }
        Deed::Half => {
            let answer = pass(&request, server)?;
            client.write_all(&answer[..answer.len() - answer.len() / 3])?;
        }
        Deed::AnswerIf(..) => unreachable!("decided above"),
    }
    client.shutdown(Shutdown::Both)
}

fn closing(answer: &str) -> String {
    answer.replacen("\r\n", "\r\nconnection: close\r\n", 1)
}

/// Reads a message: its head, and a body of the length in the head.
fn message(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        if let Some(head) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            let length = body_length(&bytes[..head]);
            while bytes.len() < head + 4 + length {
                let n = stream.read(&mut buffer)?;
                if n == 0 {
                    return Ok(Vec::new());
                }
                bytes.extend_from_slice(&buffer[..n]);
            }
            return Ok(bytes);
        }
        let n = stream.read(&mut buffer)?;
        if n == 0 {
            return Ok(Vec::new());
        }
        bytes.extend_from_slice(&buffer[..n]);
    }
}
