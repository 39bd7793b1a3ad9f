//! How a store is accessed: from the options, then from the environment, for each setting in
//! xbcloud's order.

use super::Failure;
use super::place::{Place, Storage};
use super::table::Opt;
use crate::compat::options::Parsed;
use crate::store::{Addressing, Headers, StoreOptions, Variables};
use std::path::PathBuf;
use std::time::Duration;

/// Returns a variable of the environment. An empty one counts as unset.
pub(super) type Environment<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// The endpoint of Google's XML API.
const GOOGLE: &str = "https://storage.googleapis.com";
/// The region without an option or a variable.
const REGION: &str = "us-east-1";
/// The endpoint of Azurite, its account and its key, which are public.
const AZURITE: (&str, &str, &str) = (
    "http://127.0.0.1:10000",
    "devstoreaccount1",
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==",
);
/// The limit of a request with `--timeout=0`.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// The limit of all attempts if their number is given.
const WEEK: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Returns the value of an option that was given and is not empty, else of the first of these
/// variables that is set.
pub(super) fn given(
    options: &Parsed,
    option: Opt,
    env: &Environment<'_>,
    variables: &[&str],
) -> Result<Option<String>, Failure> {
    let typed = options.text(option)?.filter(|text| !text.is_empty());
    Ok(typed
        .map(str::to_owned)
        .or_else(|| variables.iter().find_map(|name| env(name))))
}

/// Returns the options for the store of a place.
pub(super) fn store_options(
    place: &Place,
    options: &Parsed,
    env: &Environment<'_>,
) -> Result<StoreOptions, Failure> {
    let mut store = StoreOptions {
        ca_file: ca_file(options, env)?,
        insecure: options.is_on(Opt::Insecure),
        headers: headers(options)?,
        ..StoreOptions::default()
    };
    if let Some(seconds) = options.number(Opt::Timeout) {
        store.timeout = match seconds {
            0 => DAY,
            seconds => Duration::from_secs(seconds).min(DAY),
        };
    }
    if let Some(retries) = options.number(Opt::MaxRetries) {
        store.max_retries = usize::try_from(retries).unwrap_or(usize::MAX);
        store.retry_deadline = WEEK;
    }
    if let Some(milliseconds) = options.number(Opt::MaxBackoff) {
        store.max_backoff = Duration::from_millis(milliseconds);
    }
    match place.storage {
        Storage::S3 => s3(&mut store, options, env)?,
        Storage::Google => google(&mut store, options, env)?,
        Storage::Azure => azure(&mut store, options, env)?,
    }
    let is_http = |endpoint: &String| endpoint.starts_with("http://");
    store.allow_http = store.endpoint.as_ref().is_some_and(is_http);
    Ok(store)
}

fn ca_file(options: &Parsed, env: &Environment<'_>) -> Result<Option<PathBuf>, Failure> {
    let variables = ["OS_CACERT", "S3_CA_BUNDLE", "AWS_CA_BUNDLE"];
    let typed = options.path(Opt::Cacert);
    let typed = typed.filter(|path| !path.as_os_str().is_empty());
    Ok(typed.or_else(|| {
        variables
            .iter()
            .find_map(|name| env(name))
            .map(PathBuf::from)
    }))
}

/// Returns the headers. The errors don't show values.
fn headers(options: &Parsed) -> Result<Headers, Failure> {
    let pairs = options.texts(Opt::Header)?.into_iter().map(|text| {
        let (name, value) = text.split_once(':').ok_or_else(|| {
            Failure("option '--header' has no colon; give it as --header='NAME: VALUE'".to_owned())
        })?;
        Ok((name.trim().to_owned(), value.trim().to_owned()))
    });
    pairs.collect()
}

/// The options and variables of S3 or of Google.
struct Names {
    access_key: (Opt, &'static [&'static str]),
    secret_key: (Opt, &'static [&'static str]),
    session_token: (Opt, &'static [&'static str]),
    storage_class: (Opt, &'static [&'static str]),
    region: (Opt, &'static [&'static str]),
    endpoint: (Opt, &'static [&'static str]),
}

const OF_S3: Names = Names {
    access_key: (
        Opt::S3AccessKey,
        &["S3_ACCESS_KEY_ID", "AWS_ACCESS_KEY_ID", "ACCESS_KEY_ID"],
    ),
    secret_key: (
        Opt::S3SecretKey,
        &[
            "S3_SECRET_ACCESS_KEY",
            "AWS_SECRET_ACCESS_KEY",
            "SECRET_ACCESS_KEY",
        ],
    ),
    session_token: (
        Opt::S3SessionToken,
        &["S3_SESSION_TOKEN", "AWS_SESSION_TOKEN"],
    ),
    storage_class: (
        Opt::S3StorageClass,
        &["S3_STORAGE_CLASS", "AWS_STORAGE_CLASS"],
    ),
    region: (
        Opt::S3Region,
        &["S3_DEFAULT_REGION", "AWS_DEFAULT_REGION", "DEFAULT_REGION"],
    ),
    endpoint: (
        Opt::S3Endpoint,
        &["S3_ENDPOINT", "AWS_ENDPOINT", "ENDPOINT"],
    ),
};

const OF_GOOGLE: Names = Names {
    access_key: (Opt::GoogleAccessKey, &["ACCESS_KEY_ID"]),
    secret_key: (Opt::GoogleSecretKey, &["SECRET_ACCESS_KEY"]),
    session_token: (Opt::GoogleSessionToken, &["SESSION_TOKEN"]),
    storage_class: (Opt::GoogleStorageClass, &[]),
    region: (Opt::GoogleRegion, &["DEFAULT_REGION"]),
    endpoint: (Opt::GoogleEndpoint, &["ENDPOINT"]),
};

fn s3(store: &mut StoreOptions, options: &Parsed, env: &Environment<'_>) -> Result<(), Failure> {
    if options.word(Opt::S3ApiVersion) == Some("2") {
        return Err(Failure(
            "option '--s3-api-version=2' is refused: lsnap signs requests with version 4 only; leave it out".to_owned(),
        ));
    }
    store.addressing = match options.word(Opt::S3BucketLookup) {
        Some("DNS") => Some(Addressing::VirtualHosted),
        Some("PATH") => Some(Addressing::Path),
        _ => None,
    };
    like_s3(store, &OF_S3, options, env)?;
    // The instance's profile and its like are the last resort.
    store.variables.get_or_insert_with(Variables::of_process);
    Ok(())
}

fn google(
    store: &mut StoreOptions,
    options: &Parsed,
    env: &Environment<'_>,
) -> Result<(), Failure> {
    like_s3(store, &OF_GOOGLE, options, env)?;
    if store.variables.is_none() {
        return Err(Failure(
            "Google access key and secret key are not specified; give --google-access-key and --google-secret-key of \
             an HMAC key, or set ACCESS_KEY_ID and SECRET_ACCESS_KEY"
                .to_owned(),
        ));
    }
    store.endpoint.get_or_insert_with(|| GOOGLE.to_owned());
    store.addressing = Some(Addressing::Path);
    // Google has neither this header nor the deletion of several objects by one request.
    store.checksum_header = false;
    Ok(())
}

/// Sets everything that S3 and Google have. `variables` is set if there are keys.
fn like_s3(
    store: &mut StoreOptions,
    names: &Names,
    options: &Parsed,
    env: &Environment<'_>,
) -> Result<(), Failure> {
    let given = |(option, variables): (Opt, &[&str])| given(options, option, env, variables);
    let region = given(names.region)?;
    store.region = Some(region.unwrap_or_else(|| REGION.to_owned()));
    store.storage_class = given(names.storage_class)?;
    store.endpoint = given(names.endpoint)?.map(|text| endpoint(&text));
    let token = given(names.session_token)?;
    let keys = match (given(names.access_key)?, given(names.secret_key)?) {
        (Some(access), Some(secret)) => [
            ("AWS_ACCESS_KEY_ID", Some(access)),
            ("AWS_SECRET_ACCESS_KEY", Some(secret)),
            ("AWS_SESSION_TOKEN", token),
        ],
        (None, None) => return Ok(()),
        (Some(_), None) => return Err(lacks("secret", names.secret_key)),
        (None, Some(_)) => return Err(lacks("access", names.access_key)),
    };
    store.variables = Some(variables(keys));
    Ok(())
}

fn lacks(kind: &str, (option, variables): (Opt, &[&str])) -> Failure {
    let option = &super::table::TABLE[usize::from(option)];
    Failure(format!(
        "the {kind} key is missing: only the other one was found; give {option} or set {}",
        variables.join(" or ")
    ))
}

fn azure(store: &mut StoreOptions, options: &Parsed, env: &Environment<'_>) -> Result<(), Failure> {
    if !store.headers.is_empty() {
        return Err(Failure(
            "option '--header' is refused with Azure: the signature would not cover the header"
                .to_owned(),
        ));
    }
    let mut account = given(
        options,
        Opt::AzureStorageAccount,
        env,
        &["AZURE_STORAGE_ACCOUNT"],
    )?;
    let mut key = given(options, Opt::AzureAccessKey, env, &["AZURE_ACCESS_KEY"])?;
    let typed = given(options, Opt::AzureEndpoint, env, &["AZURE_ENDPOINT"])?;
    store.endpoint = typed.map(|text| endpoint(&text));
    if options.is_on(Opt::AzureDevelopmentStorage) {
        let (server, own_account, own_key) = AZURITE;
        let account = account.get_or_insert_with(|| own_account.to_owned());
        key.get_or_insert_with(|| own_key.to_owned());
        let server = store.endpoint.take().unwrap_or_else(|| server.to_owned());
        let has_path = server
            .split_once("://")
            .is_some_and(|(_, rest)| rest.contains('/'));
        store.endpoint = Some(if has_path {
            server
        } else {
            format!("{server}/{account}")
        });
    }
    let account = account.ok_or_else(|| {
        Failure("Azure account name is not specified; give --azure-storage-account".to_owned())
    })?;
    let account = ("AZURE_STORAGE_ACCOUNT", Some(account));
    store.variables = Some(match key {
        Some(key) => variables([account, ("AZURE_STORAGE_KEY", Some(key))]),
        // The identity of the instance is the last resort.
        None => Variables::of_process().with(variables([account])),
    });
    Ok(())
}

fn variables<const N: usize>(pairs: [(&str, Option<String>); N]) -> Variables {
    let set = pairs
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)));
    set.collect()
}

/// Returns an endpoint with a scheme, without a slash at its end.
fn endpoint(text: &str) -> String {
    let text = text.trim_end_matches('/');
    if text.contains("://") {
        text.to_owned()
    } else {
        format!("https://{text}")
    }
}
