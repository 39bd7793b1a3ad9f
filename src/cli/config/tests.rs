use super::*;
use crate::cli::Cli;
use std::collections::BTreeMap;
use std::ffi::OsString;

struct Setup {
    dir: tempfile::TempDir,
    variables: BTreeMap<String, String>,
}

impl Setup {
    fn new(text: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lsnap.toml");
        std::fs::write(&path, text).unwrap();
        let path = path.display().to_string();
        let variables = BTreeMap::from([("LSNAP_CONFIG".to_owned(), path)]);
        Self { dir, variables }
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    fn apply(&self, call: &str) -> Result<Vec<String>, String> {
        let program = with_false(Cli::command());
        let args: Vec<OsString> = call.split_whitespace().map(OsString::from).collect();
        let applied = apply(&program, &args, &|name| self.variables.get(name).cloned());
        let added = applied?.args.split_off(args.len());
        Ok(added
            .iter()
            .map(|arg| arg.to_string_lossy().into_owned())
            .collect())
    }

    /// Returns the arguments added to a call; the result must be a valid call.
    fn added(&self, call: &str) -> Vec<String> {
        let added = self.apply(call).unwrap();
        let whole = call
            .split_whitespace()
            .chain(added.iter().map(String::as_str));
        with_false(Cli::command())
            .try_get_matches_from(whole)
            .unwrap();
        added
    }

    fn refused(&self, call: &str) -> String {
        let message = self.apply(call).unwrap_err();
        message.replace(&self.dir.path().display().to_string(), "DIR")
    }
}

const FILE: &str = "cluster = 'shop'\n\
    [repository]\nurl = 's3://b/main'\nregion = 'eu'\npath-style = true\n\
    [repository.offsite]\nurl = 'gs://o/x'\n\
    [server]\nsocket = '/run/s'\nuser = 'backup'\n\
    [encryption]\nalgorithm = 'AES256'\nkey-file = '/k'\n\
    [backup]\nparallel = 2\n\
    [verify]\nparallel = 3\n[test-restore]\nscratch = '/big'\n\
    [retention]\nkeep-full = 4\n\
    [profile.weekly]\nrepo = 'offsite'\n[profile.weekly.backup]\nparallel = 9\n";

#[test]
fn a_call_is_completed_by_the_file() {
    let setup = Setup::new(FILE);
    assert_eq!(
        setup.added("lsnap backup"),
        [
            "--repo=s3://b/main",
            "--cluster=shop",
            "--parallel=2",
            "--encrypt=AES256",
            "--key-file=/k",
            "--path-style=true",
            "--region=eu",
            "--keep-full=4",
            "--socket=/run/s",
            "--user=backup",
        ]
    );
    assert_eq!(
        setup.added("lsnap list"),
        ["--repo=s3://b/main", "--path-style=true", "--region=eu"]
    );
    assert_eq!(
        setup.added("lsnap xbstream -x -C /d"),
        [""; 0],
        "it has no keys"
    );
}

#[test]
fn an_option_overrides_the_environment_and_that_the_file() {
    let setup = Setup::new(FILE)
        .with("LSNAP_BACKUP_PARALLEL", "5")
        .with("LSNAP_REPOSITORY_PATH_STYLE", "false");
    let added = setup.added("lsnap backup --user=me --key-file /other");
    for (one, there) in [
        ("--parallel=5", true),
        ("--path-style=false", true),
        ("--encrypt=AES256", true),
        ("--user=backup", false),
        ("--key-file=/k", false),
    ] {
        assert_eq!(added.contains(&one.to_owned()), there, "{one}: {added:?}");
    }
    assert!(
        !setup
            .added("lsnap backup -j 7")
            .iter()
            .any(|arg| arg.starts_with("--parallel"))
    );
    let unset = Setup::new(FILE).with("LSNAP_BACKUP_PARALLEL", "");
    assert!(
        unset
            .added("lsnap backup")
            .contains(&"--parallel=2".to_owned()),
        "an empty variable is ignored"
    );
    assert!(
        !unset
            .added("lsnap backup --virtual-hosted")
            .contains(&"--path-style=true".to_owned()),
        "excluded by a typed option"
    );
}

#[test]
fn a_repository_has_only_its_own_options() {
    let setup = Setup::new(FILE);
    assert_eq!(
        setup.added("lsnap list --repo offsite"),
        ["--repo=gs://o/x"]
    );
    assert_eq!(setup.added("lsnap list --repo file:///x"), [""; 0]);
    assert_eq!(
        setup.added("lsnap list --from s3://b/main/"),
        ["--path-style=true", "--region=eu"]
    );
    assert_eq!(
        setup.added("lsnap --profile weekly list"),
        ["--repo=gs://o/x"]
    );
    let from_environment = Setup::new(FILE).with("LSNAP_REPO", "offsite");
    assert_eq!(from_environment.added("lsnap list"), ["--repo=gs://o/x"]);
    let refusal = setup.refused("lsnap list --repo ofsite");
    assert!(
        refusal.contains("repository ofsite") && refusal.contains("offsite"),
        "{refusal}"
    );
}

#[test]
fn a_profile_overrides_the_rest_of_the_file() {
    let setup = Setup::new(FILE);
    let added = setup.added("lsnap backup --profile weekly");
    assert!(
        added.contains(&"--parallel=9".to_owned()) && added.contains(&"--cluster=shop".to_owned())
    );
    let refusal = setup.refused("lsnap backup --profile weekli");
    assert!(
        refusal.contains("DIR/lsnap.toml: there is no [profile.weekli]; did you mean weekly?"),
        "{refusal}"
    );
}

#[test]
fn a_typed_policy_is_the_whole_policy() {
    let setup = Setup::new(FILE);
    assert!(
        setup
            .added("lsnap prune")
            .contains(&"--keep-full=4".to_owned())
    );
    assert!(
        !setup
            .added("lsnap prune --keep-days 3")
            .contains(&"--keep-full=4".to_owned())
    );
    let server = setup.added("lsnap backup --host db2");
    assert!(
        !server.contains(&"--socket=/run/s".to_owned())
            && server.contains(&"--user=backup".to_owned())
    );
}

#[test]
fn a_typed_option_excludes_keys_in_both_directions() {
    // The conflict is declared by --unfinished-only alone.
    let setup = Setup::new(FILE).with("LSNAP_RETENTION_KEEP_DAILY", "7");
    let added = setup.added("lsnap prune --unfinished-only");
    assert!(
        !added.iter().any(|arg| arg.starts_with("--keep-")),
        "{added:?}"
    );
    let added = setup.added("lsnap prune");
    assert!(added.contains(&"--keep-daily=7".to_owned()), "{added:?}");
}

#[test]
fn a_key_is_unset_for_one_call() {
    let setup = Setup::new(FILE).with("LSNAP_BACKUP_COMPRESS", "zstd");
    let all = setup.added("lsnap backup");
    let added = setup.added("lsnap backup --unset backup.parallel --unset backup.compress");
    let gone: Vec<_> = all.iter().filter(|arg| !added.contains(arg)).collect();
    assert_eq!(gone, ["--compress=zstd", "--parallel=2"]);
    // a whole table; of a profile too
    let added = setup.added("lsnap backup --profile weekly --unset encryption --unset backup");
    for option in ["--encrypt", "--key-file", "--parallel", "--compress"] {
        assert!(
            !added.iter().any(|arg| arg.starts_with(option)),
            "{option}: {added:?}"
        );
    }
    assert!(
        !setup
            .added("lsnap backup --unset cluster")
            .contains(&"--cluster=shop".to_owned())
    );
    // without a repository, the call itself is refused
    let none = setup.apply("lsnap list --unset repository").unwrap();
    assert_eq!(none, [""; 0]);
    let refusal = setup.refused("lsnap backup --unset backup.paralel");
    assert!(
        refusal.contains(
            "--unset backup.paralel: there is no such key; did you mean backup.parallel?"
        ),
        "{refusal}"
    );
}

#[test]
fn a_hook_in_the_environment_is_one_hook() {
    let setup = Setup::new(FILE).with("LSNAP_HOOKS_FAILURE", "mail -s 'a, b' root");
    let added = setup.added("lsnap backup");
    assert!(
        added.contains(&"--hook-failure=mail -s 'a, b' root".to_owned()),
        "{added:?}"
    );
    let list =
        Setup::new("[repository]\nurl = 'file:///x'\n[hooks]\nsuccess = ['a, b', 'https://c/d']\n");
    let added = list.added("lsnap prune --keep-full 1");
    assert!(
        added.contains(&"--hook-success=a, b".to_owned())
            && added.contains(&"--hook-success=https://c/d".to_owned()),
        "{added:?}"
    );
}

#[test]
fn options_of_a_test_restore_apply_only_with_restore() {
    let setup = Setup::new(FILE);
    assert!(
        !setup
            .added("lsnap verify")
            .contains(&"--scratch=/big".to_owned())
    );
    assert!(
        setup
            .added("lsnap verify --restore")
            .contains(&"--scratch=/big".to_owned())
    );
}

#[test]
fn an_unknown_key_is_refused_with_a_similar_one() {
    for (text, expected) in [
        (
            "[backup]\ncompres = 'zstd'\n",
            "DIR/lsnap.toml:2: backup.compres: there is no such key; did you mean backup.compress?",
        ),
        (
            "[bakup]\ncompress = 'zstd'\n",
            "did you mean backup.compress?",
        ),
        (
            "[server]\npassword = 'x'\n",
            "secrets are not allowed in this file",
        ),
        (
            "[backup.x]\ncompress = 'zstd'\n",
            "backup.x.compress: there is no such key",
        ),
        (
            "[backup]\nparallel = true\n",
            "backup.parallel: expected a string or a number",
        ),
        (
            "[repository]\npath-style = 'yes'\n",
            "repository.path-style: expected true or false",
        ),
        ("[backup]\nincremental = true\n", "there is no such key"),
        ("x\n", "DIR/lsnap.toml:1: "),
    ] {
        let found = Setup::new(text).refused("lsnap list");
        assert!(found.contains(expected), "{text}: {found}");
    }
}

#[test]
fn every_name_of_the_tables_exists() {
    let program = Cli::command();
    let keys = keys(&program);
    for path in [
        "repo",
        "cluster",
        "encryption.algorithm",
        "encryption.key-file",
        "backup.throttle",
        "restore.datadir",
    ] {
        assert!(keys.iter().any(|key| key.path() == path), "{path}");
    }
    let mut variables: Vec<_> = keys.iter().map(Key::variable).collect();
    variables.sort();
    let count = variables.len();
    variables.dedup();
    assert_eq!(count, variables.len(), "two keys have the same variable");
    for key in &keys {
        assert!(!key.help.is_empty(), "{}", key.path());
    }
}

#[test]
fn a_file_that_everybody_can_write_to_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lsnap.toml");
    std::fs::write(&path, "[backup]\ncompress = \"zstd\"\n").unwrap();
    let mode = |mode| std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
    mode(0o666);
    let error = super::file::read(&path).unwrap_err();
    assert!(error.contains("every user can write"), "{error}");
    mode(0o664);
    assert!(super::file::read(&path).is_ok());
    assert!(super::file::read(std::path::Path::new("/dev/null")).is_ok());
}
