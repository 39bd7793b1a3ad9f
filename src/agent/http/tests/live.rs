//! A server over the fake agent for `tools/api`, which runs schemathesis against it.

use super::fake::Fake;
use super::settings;
use crate::agent::http::server::Server;
use crate::cancel::Cancel;
use crate::locked::Locked as _;
use std::io::{Read as _, Write as _};

/// Answers until standard input ends. The address is written into the file that `LSNAP_API_ADDRESS` names.
#[test]
#[ignore = "for tools/api: it answers until standard input ends"]
fn a_fake_agent_answers() {
    let fake = Fake::new();
    *fake.jobs.locked() = vec![Fake::running()];
    let mut log = tempfile::NamedTempFile::new().unwrap();
    log.write_all(b"a line\nanother line\n").unwrap();
    *fake.log.locked() = Some(log.path().to_owned());
    let server = Server::bind(&settings("127.0.0.1:0")).unwrap();
    let file = std::env::var_os("LSNAP_API_ADDRESS").unwrap();
    std::fs::write(file, server.at()).unwrap();
    let cancel = Cancel::new();
    let ends = cancel.clone();
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        ends.cancel();
    });
    server.run(fake, &cancel).unwrap();
}
