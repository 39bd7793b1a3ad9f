use super::*;
use crate::server::options::Transport;
use crate::server::wait::Wait;
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(20);

/// Connects to a listener whose end is passed to `serve`.
fn with(serve: impl FnOnce(UnixStream) + Send + 'static) -> Wire {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let listener = UnixListener::bind(&path).unwrap();
    std::thread::spawn(move || serve(listener.accept().unwrap().0));
    let wait = Wait::new(crate::cancel::Cancel::new(), LIMIT);
    Wire::new(TimedStream::connect(&Transport::Socket(path), wait).unwrap())
}

/// Packets with sequence numbers from 1 on.
fn packets(payloads: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    for (i, payload) in payloads.iter().enumerate() {
        out.extend_from_slice(&(payload.len() as u32).to_le_bytes()[..3]);
        out.push(i as u8 + 1);
        out.extend_from_slice(payload);
    }
    out
}

fn column(name: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for text in ["def", "", "", "", name, name] {
        counted(text.as_bytes(), &mut out);
    }
    out.extend_from_slice(&[0; 13]);
    out
}

/// Returns the answer to a query whose packets are these.
fn answered(no_eof: bool, bytes: Vec<u8>) -> Result<Answer, WireError> {
    let mut wire = with(move |mut stream| {
        let mut query = [0; 12];
        stream.read_exact(&mut query).unwrap();
        assert_eq!(&query, b"\x08\0\0\0\x03SELECT*");
        stream.write_all(&bytes).unwrap();
        let _ = stream.read(&mut query);
    });
    wire.no_eof = no_eof;
    wire.command(Command::Query, "SELECT*", LIMIT)
}

#[test]
fn rows_are_read_with_and_without_an_eof_packet() {
    let (a, b) = (column("a"), column("b"));
    let row = b"\x011\xfb";
    let eof = b"\xfe\0\0\0\0";
    let modern = packets(&[b"\x02", &a, &b, row, row, eof]);
    let old = packets(&[b"\x02", &a, &b, eof, row, row, eof]);
    for (no_eof, bytes) in [(true, modern), (false, old)] {
        let answer = answered(no_eof, bytes).unwrap();
        assert_eq!(answer.names, ["a", "b"]);
        assert_eq!(answer.rows, vec![vec![Some(b"1".to_vec()), None]; 2]);
    }
}

#[test]
fn errors_before_and_between_rows_are_returned() {
    let error = b"\xff\x79\x04#42000no";
    let a = column("a");
    for bytes in [packets(&[error]), packets(&[b"\x01", &a, b"\x011", error])] {
        match answered(true, bytes) {
            Err(WireError::Server { code, message }) => {
                assert_eq!((code, message.as_str()), (1145, "no"));
            }
            other => panic!("{other:?}"),
        }
    }
    // Before the exchange of capabilities, an error packet has no state.
    assert!(matches!(
        error_of(b"\xff\x10\x04Too many"),
        WireError::Server { code: 1040, message } if message == "Too many"
    ));
}

#[test]
fn invalid_answers_are_errors() {
    let a = column("a");
    for (what, bytes) in [
        ("a local file", packets(&[b"\xfb/etc/passwd"])),
        ("nothing", packets(&[b""])),
        ("a wrong number", b"\x01\0\0\x05\0".to_vec()),
        ("a row that is cut off", packets(&[b"\x01", &a, b"\x09x"])),
        ("a column that is cut off", packets(&[b"\x01", b"\x09x"])),
    ] {
        let answer = answered(true, bytes);
        assert!(
            matches!(answer, Err(WireError::Protocol(_))),
            "{what}: {answer:?}"
        );
    }
}

#[test]
fn a_connection_that_closes_early_is_an_error() {
    let mut wire = with(|mut stream| {
        let mut query = [0; 12];
        stream.read_exact(&mut query).unwrap();
        stream.write_all(b"\x09\0\0\x01\0").unwrap();
    });
    let answer = wire.command(Command::Query, "SELECT*", LIMIT);
    assert!(matches!(answer, Err(WireError::Closed)), "{answer:?}");
}

#[test]
fn messages_longer_than_a_packet_are_split_and_joined() {
    for len in [FULL - 1, FULL, FULL + 1] {
        let mut wire = with(|mut stream| {
            let _ = std::io::copy(&mut stream.try_clone().unwrap(), &mut stream);
        });
        let message = vec![7; len];
        std::thread::scope(|scope| {
            // The echo fills the sockets unless it is read concurrently.
            let mut other = Wire {
                channel: Channel::Plain(wire.peer().try_clone().unwrap()),
                sequence: 0,
                no_eof: true,
            };
            let reading = scope.spawn(move || other.read().unwrap());
            wire.write(&message).unwrap();
            assert!(reading.join().unwrap() == message, "{len}");
        });
    }
}
