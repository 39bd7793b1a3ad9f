//! A proxy that simulates a link with a delay and a bandwidth, between lsnap and a server on
//! loopback (`tools/bench --job upload`).
//!
//! ```text
//! slow_link SERVER_PORT RTT_MS [MB_A_SECOND]     prints its own port, serves until it is killed
//! ```
//! Each direction of a connection is a queue: bytes leave it half of a round trip after they
//! arrived, when the link has capacity for them. All connections share the bandwidth of a
//! direction, as on a real link; a new connection takes one round trip for its handshake, as in
//! TCP. The bytes in flight of a connection are limited ([`WINDOW`]), as by a receiver's window.
//! Packet loss and slow start are not simulated.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Bytes that are read from a connection at a time.
const PIECE: usize = 64 << 10;
/// Pieces in flight in one direction of a connection: 4 MiB.
const WINDOW: usize = 64;

/// One direction of the link: the time when it is free again, and its bandwidth in bytes per
/// second.
struct Direction {
    free_at: Mutex<Instant>,
    rate: Option<f64>,
}

impl Direction {
    fn new(rate: Option<f64>) -> Arc<Self> {
        Arc::new(Self {
            free_at: Mutex::new(Instant::now()),
            rate,
        })
    }

    /// Returns the time when a piece that can leave from `now` on has passed the link.
    fn through(&self, now: Instant, bytes: usize) -> Instant {
        let Some(rate) = self.rate else { return now };
        let mut free_at = self.free_at.lock().unwrap_or_else(PoisonError::into_inner);
        let took = Duration::from_secs_f64(bytes as f64 / rate);
        *free_at = (*free_at).max(now) + took;
        *free_at
    }
}

fn main() -> std::io::Result<()> {
    let args: Vec<f64> = std::env::args()
        .skip(1)
        .filter_map(|arg| arg.parse().ok())
        .collect();
    let (Some(server), Some(rtt)) = (args.first(), args.get(1)) else {
        eprintln!("usage: slow_link SERVER_PORT RTT_MS [MB_A_SECOND]");
        std::process::exit(2);
    };
    let (server, half) = (*server as u16, Duration::from_secs_f64(rtt / 2000.0));
    let rate = args.get(2).map(|mb| mb * 1e6);
    let (up, down) = (Direction::new(rate), Direction::new(rate));
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?.port());
    for client in listener.incoming() {
        let (client, (up, down)) = (client?, (Arc::clone(&up), Arc::clone(&down)));
        let Ok(server) = TcpStream::connect(("127.0.0.1", server)) else {
            continue;
        };
        let (Ok(from_client), Ok(from_server)) = (client.try_clone(), server.try_clone()) else {
            continue;
        };
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let open = Instant::now() + 2 * half;
        carry(from_client, server, up, half, open);
        carry(from_server, client, down, half, open);
    }
    Ok(())
}

/// Forwards one direction of a connection that is usable from `open` on.
fn carry(from: TcpStream, to: TcpStream, link: Arc<Direction>, half: Duration, open: Instant) {
    let (sender, receiver) = sync_channel(WINDOW);
    std::thread::spawn(move || take(from, &sender, &link, half, open));
    std::thread::spawn(move || give(to, &receiver));
}

fn take(
    mut from: TcpStream,
    sender: &SyncSender<(Instant, Vec<u8>)>,
    link: &Direction,
    half: Duration,
    open: Instant,
) {
    loop {
        let mut piece = vec![0; PIECE];
        let Ok(length) = from.read(&mut piece) else {
            return;
        };
        piece.truncate(length);
        let arrives = link.through(Instant::now().max(open), length) + half;
        // an empty piece marks the end
        if sender.send((arrives, piece)).is_err() || length == 0 {
            return;
        }
    }
}

fn give(mut to: TcpStream, receiver: &Receiver<(Instant, Vec<u8>)>) {
    while let Ok((arrives, piece)) = receiver.recv() {
        std::thread::sleep(arrives.saturating_duration_since(Instant::now()));
        if piece.is_empty() || to.write_all(&piece).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}
