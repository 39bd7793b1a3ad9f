//! HTTP messages of proxies: one request for each connection, and whole messages in memory, because
//! the objects in tests are small.

use std::io::{Read, Write};
use std::net::TcpStream;

/// Sends a request to the server at this port of the loopback address and returns the whole answer.
pub fn pass(request: &[u8], server: u16) -> std::io::Result<Vec<u8>> {
    let mut server = TcpStream::connect(("127.0.0.1", server))?;
    let end = request.iter().position(|b| *b == b'\n').unwrap_or_default() + 1;
    server.write_all(&request[..end])?;
    server.write_all(b"connection: close\r\n")?;
    // A server may respond before it has read the body, and close the connection.
    let mut reading = server.try_clone()?;
    let reader = std::thread::spawn(move || {
        let mut answer = Vec::new();
        let end = reading.read_to_end(&mut answer);
        if answer.is_empty() {
            end?;
        }
        std::io::Result::Ok(answer)
    });
    let written = server.write_all(&request[end..]);
    let answer = reader.join().unwrap()?;
    if answer.is_empty() {
        written?;
    }
    Ok(answer)
}

/// Returns the length of the body that follows this head, in bytes.
pub fn body_length(head: &[u8]) -> usize {
    String::from_utf8_lossy(head)
        .to_ascii_lowercase()
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"))
        .map_or(0, |n| n.trim().parse().unwrap())
}
