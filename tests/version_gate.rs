//! The versions of servers that are backed up. No package has a server that is too old or too new,
//! so a simulated server reports the version: it implements the part of the protocol that the query
//! needs.

#![allow(clippy::unwrap_used)]

mod common;

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::Output;

const OK: &[u8] = &[0, 0, 0, 2, 0, 0, 0];
const EOF: &[u8] = &[0xFE, 0, 0, 2, 0];

fn send(stream: &mut UnixStream, number: &mut u8, body: &[u8]) {
    let length = (body.len() as u32).to_le_bytes();
    stream
        .write_all(&[length[0], length[1], length[2], *number])
        .unwrap();
    stream.write_all(body).unwrap();
    *number = number.wrapping_add(1);
}

/// Receives the next packet and its number; `None` if the client has disconnected.
fn receive(stream: &mut UnixStream) -> Option<(Vec<u8>, u8)> {
    let mut head = [0; 4];
    stream.read_exact(&mut head).ok()?;
    let mut body = vec![0; u32::from_le_bytes([head[0], head[1], head[2], 0]) as usize];
    stream.read_exact(&mut body).ok()?;
    Some((body, head[3]))
}

fn text(value: &str) -> Vec<u8> {
    [&[value.len() as u8], value.as_bytes()].concat()
}

fn greeting(version: &str) -> Vec<u8> {
    let capabilities: u32 = 0x1 | 0x8 | 0x200 | 0x2000 | 0x8000 | 0x80000;
    let low = capabilities.to_le_bytes();
    let mut g = vec![10];
    g.extend_from_slice(version.as_bytes());
    g.extend_from_slice(&[0, 7, 0, 0, 0]);
    g.extend_from_slice(b"12345678\0");
    g.extend_from_slice(&[low[0], low[1], 45, 2, 0, low[2], low[3], 21]);
    g.extend_from_slice(&[0; 10]);
    g.extend_from_slice(b"123456789012\0mysql_native_password\0");
    g
}

/// Sends one row of text: a value for each expression between SELECT's commas.
fn answer(stream: &mut UnixStream, number: &mut u8, sql: &str, version: &str) {
    let list = sql
        .trim_start_matches("SELECT ")
        .split(" FROM ")
        .next()
        .unwrap();
    let columns: Vec<&str> = list.split(',').map(str::trim).collect();
    send(stream, number, &[columns.len() as u8]);
    for name in &columns {
        let mut c = [
            text("def"),
            text(""),
            text(""),
            text(""),
            text(name),
            text(name),
        ]
        .concat();
        c.extend_from_slice(&[12, 45, 0, 0, 4, 0, 0, 253, 0, 0, 0, 0, 0]);
        send(stream, number, &c);
    }
    send(stream, number, EOF);
    let value = |name: &&str| match *name {
        "VERSION()" => text(version),
        "@@version_comment" => text("MySQL Community Server - GPL"),
        "@@hostname" => text("h"),
        "@@server_uuid" => text("8e587f12-e707-11f1-8105-02fc00000001"),
        "@@gtid_mode" => text("ON"),
        _ => text("1000000"),
    };
    let row: Vec<u8> = columns
        .iter()
        .flat_map(|name| match *name {
            "@@port" => text("3306"),
            "@@log_bin" => text("1"),
            _ => value(name),
        })
        .collect();
    send(stream, number, &row);
    send(stream, number, EOF);
}

fn serve(mut stream: UnixStream, version: &str) {
    send(&mut stream, &mut 0, &greeting(version));
    let Some((_, number)) = receive(&mut stream) else {
        return;
    };
    send(&mut stream, &mut (number + 1), OK);
    while let Some((packet, _)) = receive(&mut stream) {
        let sql = String::from_utf8_lossy(&packet[1..]).into_owned();
        match packet[0] {
            1 => return,
            3 if sql.starts_with("SELECT") => answer(&mut stream, &mut 1, &sql, version),
            _ => send(&mut stream, &mut 1, OK),
        }
    }
}

/// Returns the output of `lsnap backup` with a server of this version.
fn backup(version: &'static str) -> Output {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("s");
    let listener = UnixListener::bind(&socket).unwrap();
    std::thread::spawn(move || serve(listener.accept().unwrap().0, version));
    let out = common::program::command()
        .args(["backup", "--no-defaults", "--user", "root", "--socket"])
        .arg(&socket)
        .arg("--to")
        .arg(dir.path().join("repository"))
        .output()
        .unwrap();
    nothing_in(&dir.path().join("repository"));
    out
}

fn nothing_in(repository: &Path) {
    let left = std::fs::read_dir(repository)
        .map(|d| d.count())
        .unwrap_or(0);
    assert_eq!(left, 0, "a refused backup left something behind");
}

#[track_caller]
fn refused(version: &'static str, words: &[&str]) {
    let out = backup(version);
    let said = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(1), "{said}");
    for word in words {
        assert!(
            said.contains(word),
            "{version}: the message does not contain {word:?}: {said}"
        );
    }
}

#[test]
fn a_server_that_is_too_old_is_refused_with_the_required_version() {
    refused("8.0.29", &["8.0.29", "8.0.30"]);
    refused("5.7.44-log", &["5.7.44", "8.0.30"]);
}

#[test]
fn a_server_newer_than_any_tested_one_requires_an_option() {
    refused("26.7.0", &["26.7", "--allow-untested-server", "--restore"]);
}

#[test]
fn mariadb_is_refused_by_name() {
    refused("10.11.18-MariaDB-0+deb12u1", &["MariaDB"]);
}
