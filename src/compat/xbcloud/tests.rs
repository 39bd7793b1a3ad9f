use super::place::Storage;
use super::*;
use crate::store::{Addressing, StoreOptions};
use std::collections::BTreeMap;
use std::time::Duration;

type Variables<'a> = &'a [(&'a str, &'a str)];

fn parsed(words: &str) -> Parsed {
    let args: Vec<OsString> = words.split(' ').map(OsString::from).collect();
    let all = [
        &["--no-defaults".into(), "--no-login-paths".into()],
        &args[..],
    ]
    .concat();
    read(TABLE, &GROUPS, &all, None).unwrap().parsed
}

/// Returns the place and the options of the store for a command line and these variables.
fn settings(words: &str, variables: Variables<'_>) -> Result<(Place, StoreOptions), String> {
    let options = parsed(words);
    let variables: BTreeMap<&str, &str> = variables.iter().copied().collect();
    let env = |name: &str| variables.get(name).map(|value| (*value).to_owned());
    let name = options.stray[0].to_str().unwrap();
    let place = Place::of(name, &options, &env).map_err(|error| error.0)?;
    let store = settings::store_options(&place, &options, &env).map_err(|error| error.0)?;
    Ok((place, store))
}

fn place(words: &str) -> (Storage, String, String) {
    let (place, _) =
        settings(words, &[("ACCESS_KEY_ID", "a"), ("SECRET_ACCESS_KEY", "s")]).unwrap();
    (place.storage, place.url, place.name.to_string())
}

/// Returns the value of a variable that the store gets.
fn passed(store: &StoreOptions, name: &str) -> Option<String> {
    let variables = store.variables.as_ref()?;
    variables.get(name).map(str::to_owned)
}

#[test]
fn the_table_is_consistent() {
    options::page::check_table(TABLE);
}

#[test]
fn the_page_of_options_is_current() {
    options::page::check(
        "docs/reference/xbcloud-options.md",
        "# xbcloud's options in lsnap\n\n\
         Generated from the table in `src/compat/xbcloud/table.rs`: the unit tests compare this page with it, and write it \
         if LSNAP_WRITE_REFERENCE is set. [lsnap instead of xtrabackup](../xtrabackup.md) explains it.\n\n",
        TABLE,
    );
}

#[test]
fn every_secret_of_the_table_is_blanked_on_the_command_line() {
    for spec in TABLE
        .iter()
        .filter(|spec| spec.kind == options::Kind::Secret)
    {
        let given = [
            format!("{spec}=hidden"),
            format!("{spec}"),
            "hidden".to_owned(),
        ];
        let args: Vec<OsString> = std::iter::once("xbcloud".to_owned())
            .chain(given)
            .map(OsString::from)
            .collect();
        let shown = secrets::masked(&args, secrets::XBCLOUD_LETTERS);
        assert!(!shown.contains("hidden"), "{shown}");
    }
}

#[test]
fn a_name_or_a_uri_is_a_place() {
    let s3 = Storage::S3;
    let of = |storage, url: &str, name: &str| (storage, url.to_owned(), name.to_owned());
    assert_eq!(
        place("n --storage=s3 --s3-bucket=bucket"),
        of(s3, "s3://bucket", "n")
    );
    assert_eq!(
        place("/a/b/n/ --storage=S3 --s3-bucket=bucket"),
        of(s3, "s3://bucket/a/b", "n")
    );
    // A URI has priority over --storage and the bucket.
    assert_eq!(
        place("s3://bucket/a/n --storage=google --s3-bucket=other"),
        of(s3, "s3://bucket/a", "n")
    );
    assert_eq!(
        place("google://bucket/n"),
        of(Storage::Google, "s3://bucket", "n")
    );
    assert_eq!(
        place("azure://bucket/a/n --azure-storage-account=x --azure-access-key=k"),
        of(Storage::Azure, "az://bucket/a", "n")
    );
    // A member of a chain is in the repository of its full backup.
    assert_eq!(
        place("s3://bucket/a/c-full.incr/c-incr"),
        of(s3, "s3://bucket/a", "c-full.incr/c-incr")
    );
    for (words, expected) in [
        ("n", "does not support Swift"),
        ("swift://c/n", "does not support Swift"),
        ("n --storage=google", "--google-bucket"),
        ("s3://bucket", "no name of a backup"),
        ("s3://bucket/c-full.incr", ".incr"),
        ("s3://bucket/..", ".."),
    ] {
        let error = settings(words, &[]).unwrap_err();
        assert!(error.contains(expected), "{words}: {error}");
    }
}

#[test]
fn the_options_come_before_the_variables_in_their_order() {
    let all: &[(&str, &str)] = &[
        ("S3_ACCESS_KEY_ID", "s3"),
        ("S3_SECRET_ACCESS_KEY", "s3"),
        ("S3_SESSION_TOKEN", "s3"),
        ("S3_DEFAULT_REGION", "s3"),
        ("S3_STORAGE_CLASS", "S3"),
        ("S3_ENDPOINT", "s3"),
        ("S3_CA_BUNDLE", "s3"),
        ("AWS_ACCESS_KEY_ID", "aws"),
        ("AWS_SECRET_ACCESS_KEY", "aws"),
        ("AWS_SESSION_TOKEN", "aws"),
        ("AWS_DEFAULT_REGION", "aws"),
        ("AWS_STORAGE_CLASS", "AWS"),
        ("AWS_ENDPOINT", "aws"),
        ("AWS_CA_BUNDLE", "aws"),
        ("ACCESS_KEY_ID", "bare"),
        ("SECRET_ACCESS_KEY", "bare"),
        ("DEFAULT_REGION", "bare"),
        ("ENDPOINT", "bare"),
    ];
    let shown = |store: &StoreOptions| {
        let of = |name| passed(store, name).unwrap_or_default();
        [
            of("AWS_ACCESS_KEY_ID"),
            of("AWS_SECRET_ACCESS_KEY"),
            of("AWS_SESSION_TOKEN"),
            store.region.clone().unwrap(),
            store.storage_class.clone().unwrap_or_default(),
            store.endpoint.clone().unwrap_or_default(),
            store
                .ca_file
                .clone()
                .unwrap_or_default()
                .display()
                .to_string(),
        ]
        .join(" ")
    };
    let with = |words: &str, variables| shown(&settings(words, variables).unwrap().1);
    assert_eq!(
        with(
            "s3://bucket/n --s3-access-key=o --s3-secret-key=o --s3-session-token=o --s3-region=o \
             --s3-storage-class=O --s3-endpoint=http://o/ --cacert=o",
            all
        ),
        "o o o o O http://o o"
    );
    assert_eq!(with("s3://bucket/n", all), "s3 s3 s3 s3 S3 https://s3 s3");
    assert_eq!(
        with("s3://bucket/n", &all[7..]),
        "aws aws aws aws AWS https://aws aws"
    );
    assert_eq!(
        with("s3://bucket/n", &all[14..]),
        "bare bare  bare  https://bare "
    );
    // Google reads the bare ones only.
    assert_eq!(
        with("google://bucket/n", all),
        "bare bare  bare  https://bare s3"
    );
    assert_eq!(
        with("google://bucket/n", &all[14..16]),
        "bare bare  us-east-1  https://storage.googleapis.com "
    );
    let (_, azure) = settings(
        "n --storage=azure",
        &[
            ("AZURE_STORAGE_ACCOUNT", "account"),
            ("AZURE_CONTAINER_NAME", "container"),
            ("AZURE_ACCESS_KEY", "key"),
            ("AZURE_ENDPOINT", "host"),
        ],
    )
    .unwrap();
    assert_eq!(passed(&azure, "AZURE_STORAGE_ACCOUNT").unwrap(), "account");
    assert_eq!(passed(&azure, "AZURE_STORAGE_KEY").unwrap(), "key");
    assert_eq!(azure.endpoint.unwrap(), "https://host");
}

#[test]
fn the_settings_of_a_store() {
    let of = |words: &str| {
        let keys: Variables<'_> = &[("ACCESS_KEY_ID", "a"), ("SECRET_ACCESS_KEY", "s")];
        settings(words, keys).map(|(_, store)| store)
    };
    let plain = of("s3://bucket/n").unwrap();
    assert_eq!(plain.addressing, None);
    assert!(!plain.allow_http && !plain.insecure && plain.checksum_header);
    // Nothing of the process's environment is mixed with given keys.
    assert_eq!(passed(&plain, "AWS_SESSION_TOKEN"), None);
    assert_eq!(passed(&plain, "HOME"), None);
    let other = of(
        "s3://bucket/n --s3-bucket-lookup=dns --s3-endpoint=http://h --insecure --timeout=0 --max-retries=3 \
         --max-backoff=7 --header=X-A:b --s3-api-version=4",
    )
    .unwrap();
    assert_eq!(other.addressing, Some(Addressing::VirtualHosted));
    assert!(other.allow_http && other.insecure);
    assert_eq!(other.timeout, Duration::from_secs(86_400));
    assert_eq!(
        (other.max_retries, other.max_backoff),
        (3, Duration::from_millis(7))
    );
    assert!(!other.headers.is_empty());
    let google = of("google://bucket/n").unwrap();
    assert_eq!(google.addressing, Some(Addressing::Path));
    assert!(!google.checksum_header);
    let azurite = of("azure://bucket/n --azure-development-storage").unwrap();
    assert!(azurite.allow_http);
    assert_eq!(
        azurite.endpoint.as_deref(),
        Some("http://127.0.0.1:10000/devstoreaccount1")
    );
    for (words, expected) in [
        ("s3://bucket/n --s3-api-version=2", "version 4 only"),
        ("s3://bucket/n --header=hidden", "has no colon"),
        ("azure://bucket/n", "--azure-storage-account"),
        (
            "azure://bucket/n --azure-development-storage --header=a:b",
            "refused with Azure",
        ),
    ] {
        let error = of(words).unwrap_err();
        assert!(
            error.contains(expected) && !error.contains("hidden"),
            "{error}"
        );
    }
    let error = settings("s3://bucket/n --s3-access-key=hidden", &[]).unwrap_err();
    assert!(
        error.contains("--s3-secret-key") && !error.contains("hidden"),
        "{error}"
    );
    let error = settings("google://bucket/n", &[]).unwrap_err();
    assert!(error.contains("--google-access-key"), "{error}");
}

#[test]
fn option_files_may_be_named_anywhere() {
    let first = |words: &str| {
        let args: Vec<OsString> = words.split(' ').map(OsString::from).collect();
        let found: Vec<_> = files_first(&args)
            .iter()
            .map(|word| word.to_string_lossy().into_owned())
            .collect();
        found.join(" ")
    };
    assert_eq!(
        first("put n --defaults-file=f --md5"),
        "--defaults-file=f put n --md5"
    );
    assert_eq!(first("put -c f n"), "--defaults-file=f put n");
    assert_eq!(first("put -cf n"), "--defaults-file=f put n");
    assert_eq!(first("put --defaults_file f n"), "--defaults-file=f put n");
    assert_eq!(first("put n -- -c"), "put n -- -c");
    assert_eq!(first("put --no-defaults n"), "--no-defaults put n");
}
