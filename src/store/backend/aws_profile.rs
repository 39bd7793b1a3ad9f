//! The shared credentials and config files of the AWS tools: static keys, web identity, region and
//! endpoint of one profile.
//!
//! Facts: the AWS SDKs and Tools Reference Guide, "Shared config and credentials files". In
//! `~/.aws/credentials` a section is `[name]`, in `~/.aws/config` it is `[profile name]` or
//! `[default]`; a setting in both is taken from the former. Indented lines are nested settings and
//! are skipped.

use crate::store::error::open::OpenFault;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::counted::count;
use crate::store::error::StoreError;

/// Largest file that is read, in bytes.
const LARGEST: u64 = 1 << 20;
/// Settings of profiles that need another program or a dialogue.
const UNSUPPORTED: [&str; 6] = [
    "credential_process",
    "sso_session",
    "sso_start_url",
    "source_profile",
    "credential_source",
    "login_session",
];

/// The settings of a profile. Not `Debug`, because it may contain a secret.
#[derive(Default)]
pub(super) struct Profile {
    /// Access key ID, secret access key, session token.
    pub keys: Option<(String, Zeroizing<String>, Option<Zeroizing<String>>)>,
    /// Role ARN, path of the token file.
    pub web_identity: Option<(String, String)>,
    pub region: Option<String>,
    pub endpoint: Option<String>,
}

type Section = HashMap<String, Zeroizing<String>>;

/// Reads a profile from the files that the environment names. If `required`, the profile must
/// exist.
pub(super) fn read(
    name: &str,
    required: bool,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Profile, StoreError> {
    let home = env("HOME").map(PathBuf::from).unwrap_or_default();
    let file = |variable: &str, default: &str| {
        env(variable).map_or_else(|| home.join(".aws").join(default), PathBuf::from)
    };
    let credentials = file("AWS_SHARED_CREDENTIALS_FILE", "credentials");
    let config = file("AWS_CONFIG_FILE", "config");
    let mut found = section(&text(&config)?, |header| is_config_header(header, name));
    let own = section(&text(&credentials)?, |header| header == name);
    if required && found.is_none() && own.is_none() {
        return Err(StoreError::Open(OpenFault::BadOption {
            option: "StoreOptions::profile",
            reason: format!(
                "profile `{name}` is neither in {} nor in {}",
                credentials.display(),
                config.display()
            ),
        }));
    }
    let section = found.get_or_insert_default();
    section.extend(own.into_iter().flatten());
    profile(name, section)
}

fn profile(name: &str, section: &Section) -> Result<Profile, StoreError> {
    let get = |key: &str| section.get(key).map(|value| value.to_string());
    let secret = |key: &str| section.get(key).cloned();
    let keys = match (get("aws_access_key_id"), secret("aws_secret_access_key")) {
        (Some(id), Some(key)) => Some((id, key, secret("aws_session_token"))),
        _ => None,
    };
    let web_identity = get("role_arn").zip(get("web_identity_token_file"));
    if keys.is_none()
        && web_identity.is_none()
        && let Some(way) = UNSUPPORTED.iter().find(|way| section.contains_key(**way))
    {
        return Err(StoreError::Open(OpenFault::BadOption {
            option: "StoreOptions::profile",
            reason: format!(
                "profile `{name}` has {way}, which lsnap does not support; put its credentials into the \
                 environment: eval \"$(aws configure export-credentials --profile {name} --format env)\""
            ),
        }));
    }
    Ok(Profile {
        keys,
        web_identity,
        region: get("region"),
        endpoint: get("endpoint_url"),
    })
}

fn is_config_header(header: &str, name: &str) -> bool {
    // `[profiles]` is not the profile `s`
    let named = header
        .strip_prefix("profile")
        .filter(|rest| rest.starts_with([' ', '\t']));
    (header == "default" && name == "default") || named.map(str::trim) == Some(name)
}

/// Reads a file. A file that doesn't exist counts as empty.
fn text(path: &Path) -> Result<Zeroizing<String>, StoreError> {
    let failed = |e| StoreError::io("reading", path, e);
    match std::fs::metadata(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Zeroizing::default()),
        Err(e) => return Err(failed(e)),
        Ok(meta) if meta.len() > LARGEST => {
            let big = std::io::Error::other(format!(
                "{}, expected at most {LARGEST}",
                count(meta.len(), "byte")
            ));
            return Err(failed(big));
        }
        Ok(_) => {}
    }
    std::fs::read_to_string(path)
        .map(Zeroizing::new)
        .map_err(failed)
}

/// Returns the settings of the sections whose header matches, or `None` if there is no such
/// section.
fn section(text: &str, fits: impl Fn(&str) -> bool) -> Option<Section> {
    let mut found: Option<Section> = None;
    let mut inside = false;
    for line in text.lines() {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            continue;
        }
        if let Some(header) = trimmed.strip_prefix('[') {
            let header = header.split(']').next().unwrap_or_default();
            inside = fits(header.trim());
            if inside {
                found.get_or_insert_default();
            }
            continue;
        }
        if !inside || line.starts_with([' ', '\t']) {
            continue;
        }
        if let (Some(section), Some((key, value))) = (&mut found, trimmed.split_once('=')) {
            // a comment after a value must be preceded by a blank
            let value = value.split(" #").next().unwrap_or_default().trim();
            let value = Zeroizing::new(value.to_owned());
            section.insert(key.trim().to_ascii_lowercase(), value);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_from(
        credentials: &str,
        config: &str,
        name: &str,
        required: bool,
    ) -> Result<Profile, StoreError> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join(".aws")).unwrap();
        std::fs::write(dir.path().join(".aws/credentials"), credentials).unwrap();
        std::fs::write(dir.path().join(".aws/config"), config).unwrap();
        let home = dir.path().to_str().unwrap().to_owned();
        read(name, required, &|variable| {
            (variable == "HOME").then(|| home.clone())
        })
    }

    #[test]
    fn both_files_make_a_profile() {
        let profile = read_from(
            "[default]\naws_access_key_id = D\naws_secret_access_key=d\n\n# c\n[ops]\naws_access_key_id=K # mine\n\
             AWS_SECRET_ACCESS_KEY = s/+==\naws_session_token = t\n",
            "[profile ops]\nregion = eu-west-1\ns3 =\n  region = nested\nendpoint_url = https://s3.example\n[default]\nregion = us-west-2\n",
            "ops",
            true,
        )
        .unwrap();
        let (id, secret, token) = profile.keys.unwrap();
        assert_eq!((id.as_str(), secret.as_str()), ("K", "s/+=="));
        assert_eq!(token.unwrap().as_str(), "t");
        assert_eq!(profile.region.as_deref(), Some("eu-west-1"));
        assert_eq!(profile.endpoint.as_deref(), Some("https://s3.example"));
    }

    #[test]
    fn missing_and_unsupported_profiles_are_errors() {
        let message =
            |config: &str, name: &str, required| match read_from("", config, name, required) {
                Ok(profile) => {
                    assert!(profile.keys.is_none());
                    String::new()
                }
                Err(error) => error.to_string(),
            };
        assert!(message("[profile a]\n", "b", true).contains("profile `b` is neither in"));
        assert_eq!(message("[profile a]\n", "default", false), "");
        assert!(
            message("[profile a]\nsso_session = x\n", "a", true).contains("export-credentials")
        );
        // `[a]` is not a profile in the config file
        assert!(message("[a]\nregion = x\n", "a", true).contains("neither"));
        assert!(message("[profiles]\n", "s", true).contains("neither"));
    }

    proptest::proptest! {
        #[test]
        fn any_file_is_read_without_panic(text in "[\\[\\]a-z =#;\n\t]{0,200}") {
            let _ = section(&text, |header| is_config_header(header, "a"));
        }
    }
}
