//! A server with no file in its default directory: a system tablespace of two files, undo and redo
//! in separate directories. The restored data directory contains everything.

use crate::journey::Journey;
use crate::sandbox::{SOURCE, Sandbox, scratch};
use crate::{ddl, schema};

#[test]
fn everything_outside_of_the_data_directory() {
    let room = scratch();
    let dir = |name: &str| {
        let path = room.path().join(name);
        std::fs::create_dir(&path).unwrap();
        path
    };
    let (home, undo, redo, outside) = (dir("home"), dir("undo"), dir("redo"), dir("outside"));
    let files = "--innodb-data-file-path=ibdata1:12M;ibdata2:12M:autoextend";
    let options = [
        format!("--innodb-data-home-dir={}", home.display()),
        format!("--innodb-undo-directory={}", undo.display()),
        format!("--innodb-log-group-home-dir={}", redo.display()),
        format!("--innodb-directories={}", outside.display()),
        files.to_owned(),
    ];
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let source = Sandbox::start("e2e-layout", &[SOURCE, &options]);
    let targets = schema::create(
        &source,
        &schema::Wanted {
            page_kib: 16,
            outside: Some(&outside),
            encrypted: false,
            other_engines: true,
        },
    );
    // Crash recovery ignores hidden files.
    let hidden = outside.join(".hidden.ibd");
    source.run(&format!(
        "CREATE TABLESPACE hidden ADD DATAFILE '{}'",
        hidden.display()
    ));
    source.run("CREATE TABLE shop.hidden (id INT PRIMARY KEY) TABLESPACE hidden");
    ddl::prepare(&source);
    let mut journey = Journey::with("e2e-layout", source, targets, room);
    journey.member();
    ddl::round(&journey.source, 1);
    journey
        .source
        .run("INSERT INTO shop.hidden VALUES (1), (2)");
    journey.member();
    journey.rest();
    journey.prove(1, &[files]);
}
