//! `lsnap copy` between a directory and S3, killed at random points.

use crate::common::program::PROGRAM;
use crate::common::small::begin;
use crate::journey::lsnap;
use crate::servers::{Kind, Server};
use ::lsnap::manifest::{BackupName, FileEntry, FileRole, Manifest, StoredPath};
use ::lsnap::store::{ListedState, Repository};
use ::lsnap::xbstream;
use bytes::Bytes;
use rustix::process::{Pid, Signal, kill_process};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Number of objects of a backup's large file.
const OBJECTS: u64 = 10;
/// How often a copy is killed at most.
const KILLS: usize = 4;

/// Uploads a file of many objects, so that a copy can be interrupted in the middle.
fn backup(repository: &Repository, name: &str, base: Option<&Manifest>) -> Manifest {
    let name = BackupName::parse(name).unwrap();
    let (upload, small) = begin(repository, &name).unwrap();
    let mut length = 0;
    for index in 0..OBJECTS {
        let data = vec![u8::try_from(index).unwrap(); 20_000];
        let head = xbstream::payload_head("b", length, 20_000, xbstream::crc(&data)).unwrap();
        let mut parts = vec![head, Bytes::from(data)];
        if index + 1 == OBJECTS {
            parts.push(xbstream::end_chunk("b").unwrap());
        }
        upload.put("b", index, length, parts).unwrap();
        length += 20_000;
    }
    let large = FileEntry {
        path: StoredPath::new("b"),
        role: FileRole::Plain,
        bytes: length,
        wrapping: None,
        objects: upload.finish_file("b").unwrap(),
    };
    let to = base.map_or(10, |base| base.lsn.to_lsn.0 + 10);
    let mut manifest = crate::common::small::manifest(&name, base, to, small);
    manifest.files.push(large);
    if let Some(base) = base {
        upload.follow(&base.name, Duration::from_secs(60)).unwrap();
    }
    upload.finish(&manifest).unwrap();
    manifest
}

/// Returns the finished backups, and checks that each has all of its objects.
fn finished(repository: &Repository) -> Vec<String> {
    let listed = match repository.list() {
        Ok(listed) => listed,
        // the directory doesn't exist yet
        Err(_) => return Vec::new(),
    };
    let mut names = Vec::new();
    for backup in listed {
        match backup.state {
            ListedState::Finished(_) => names.push(backup.name.to_string()),
            ListedState::Unfinished => {}
            other => panic!("{}: {other:?}", backup.name),
        }
    }
    for name in &names {
        let name = BackupName::parse(name).unwrap();
        for member in repository.chain_of(&name).unwrap() {
            for file in &member.files {
                for object in &file.objects {
                    repository
                        .fetch(&member.name, file.path.as_stored(), object)
                        .unwrap();
                }
            }
        }
    }
    names
}

fn random(below: u64) -> u64 {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).unwrap();
    u64::from_le_bytes(bytes) % below
}

fn copied(from: &Server, to: &Server) {
    let (source, target) = (from.repository("from"), to.repository("to"));
    let full = backup(&source, "shop-2026-11-30-00:00:00-full", None);
    let member = format!("{}.incr/shop-2026-11-30-01:00:00-incr", full.name);
    let member = backup(&source, &member, Some(&full));
    let remote = [from, to]
        .into_iter()
        .find(|s| s.kind != Kind::File)
        .unwrap();
    let mut arguments = vec![
        "copy".to_owned(),
        format!("--repo={}", from.url("from")),
        format!("--into={}", to.url("to")),
        "--parallel=2".to_owned(),
    ];
    if from.kind == Kind::File {
        arguments.push(format!("--into-option=endpoint={}", to.endpoint));
        arguments.push(format!("--into-option=ca-file={}", to.ca.display()));
    } else {
        arguments.extend(from.args());
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut kills = 0;
    for _ in 0..KILLS {
        let mut child = Command::new(PROGRAM)
            .args(&arguments)
            .env_clear()
            .env("HOME", "/nonexistent")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .envs(remote.env())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // the point at which the process is killed; not a wait for an event
        std::thread::sleep(Duration::from_millis(100 + random(500)));
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        let _ = kill_process(pid, Signal::KILL);
        let ended = child.wait().unwrap();
        let names = finished(&target);
        if ended.success() {
            assert_eq!(names.len(), 2);
            break;
        }
        kills += 1;
    }
    let out = lsnap(&remote.env(), &arguments, Stdio::null());
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "after {kills} kills: {said}");
    assert_eq!(finished(&target).len(), 2);
    assert_eq!(target.manifest(&member.name).unwrap().id, member.id);
    let again = lsnap(
        &remote.env(),
        &[&arguments[..], &["--json"]].concat(),
        Stdio::null(),
    );
    let report: serde_json::Value = serde_json::from_slice(&again.stdout).unwrap();
    let report = report.get("result").unwrap_or(&report);
    assert_eq!(report["copied"].as_array().unwrap().len(), 0, "{report}");
    assert_eq!(report["present"].as_array().unwrap().len(), 2, "{report}");
}

#[test]
fn killed_at_any_moment_a_copy_to_or_from_s3_is_continued() {
    let (file, s3) = (Server::start(Kind::File), Server::start(Kind::S3));
    copied(&file, &s3);
    copied(&s3, &file);
}
