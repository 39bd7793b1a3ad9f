//! The variables of lsnap in the environment.

use super::keys::{Key, keys};
use super::nearest;
use clap::Command;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;

/// The beginning of the names of lsnap's variables.
const PREFIX: &str = "LSNAP_";

/// Reads the environment of the process. The result returns the value of a variable.
///
/// # Errors
/// A variable of lsnap is not UTF-8: if it were ignored, a default would be used instead.
pub(crate) fn environment() -> Result<impl Fn(&str) -> Option<String>, String> {
    let variables = checked(std::env::vars_os())?;
    Ok(move |name: &str| variables.get(name).cloned())
}

/// Refuses variables that begin like those of keys and are none: a misspelt `LSNAP_REPOSITORY_URL` would leave another
/// repository in use. Variables without the name of a table (`LSNAP_LOG`, those of hooks) are of other kinds.
///
/// # Errors
/// The first such variable, with the nearest known one.
pub(crate) fn check_variables(program: &Command) -> Result<(), String> {
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    unknown_variable(program, names).map_or(Ok(()), Err)
}

fn unknown_variable(program: &Command, names: impl Iterator<Item = String>) -> Option<String> {
    let keys: Vec<Key> = keys(program);
    let mut known: BTreeSet<String> = keys.iter().map(Key::variable).collect();
    known.extend(
        keys.iter()
            .filter_map(|key| key.earlier_variable().map(str::to_owned)),
    );
    known.insert("LSNAP_REPO".to_owned());
    let sections: BTreeSet<String> = keys
        .iter()
        .filter(|key| !key.section.is_empty())
        .map(|key| format!("{PREFIX}{}_", key.section.replace('-', "_").to_uppercase()))
        .collect();
    let is_wrong = |name: &String| {
        sections.iter().any(|section| name.starts_with(section))
            && !known.contains(name)
            && !is_of_a_service(name)
    };
    let name = names.into_iter().find(is_wrong)?;
    let hint = if name == Key::url().variable() {
        "; did you mean LSNAP_REPO?".to_owned()
    } else {
        nearest(&name, known.iter().map(String::as_str))
    };
    Some(format!("{name}: no key has this variable{hint}"))
}

/// Returns whether Kubernetes made the variable, for a Service with a name such as `lsnap-backup`.
fn is_of_a_service(name: &str) -> bool {
    let parts = ["_SERVICE_HOST", "_SERVICE_PORT", "_PORT_"];
    name.ends_with("_PORT") || parts.iter().any(|part| name.contains(part))
}

fn checked(
    variables: impl Iterator<Item = (OsString, OsString)>,
) -> Result<BTreeMap<String, String>, String> {
    let mut found = BTreeMap::new();
    for (name, value) in variables {
        let is_ours = name.as_encoded_bytes().starts_with(PREFIX.as_bytes());
        match (name.into_string(), value.into_string()) {
            (Ok(name), Ok(value)) => drop(found.insert(name, value)),
            // the value can be a secret
            (Ok(name), Err(_)) if is_ours => {
                return Err(format!(
                    "{name}: its value is not UTF-8; correct or unset it"
                ));
            }
            (Err(name), _) if is_ours => {
                let name = name.to_string_lossy();
                return Err(format!(
                    "{name}: the name of this variable is not UTF-8; unset it"
                ));
            }
            _ => {}
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStringExt as _;

    fn os(bytes: &[u8]) -> OsString {
        OsString::from_vec(bytes.to_vec())
    }

    #[test]
    fn a_variable_that_no_key_has_is_an_error() {
        use clap::CommandFactory as _;
        let program = crate::cli::Cli::command();
        let of = |name: &str| unknown_variable(&program, [name.to_owned()].into_iter());
        for known in [
            "LSNAP_REPO",
            "LSNAP_BACKUP_COMPRESS",
            "LSNAP_LOG",
            "LSNAP_HOOK_EVENT",
            "OTHER",
            "LSNAP_SANDBOX",
            "LSNAP_METRICS_SERVICE_HOST",
            "LSNAP_BACKUP_PORT_9100_TCP_ADDR",
        ] {
            assert_eq!(of(known), None, "{known}");
        }
        let error = of("LSNAP_BACKUP_COMPRES").unwrap();
        assert!(error.contains("LSNAP_BACKUP_COMPRESS"), "{error}");
        assert!(of("LSNAP_REPOSITORY_ENDPONT").is_some());
        assert!(of("LSNAP_REPOSITORY_URL").unwrap().contains("LSNAP_REPO?"));
    }

    #[test]
    fn a_variable_of_lsnap_that_is_not_utf_8_is_an_error() {
        let good = (os(b"LSNAP_CLUSTER"), os(b"shop"));
        let foreign = (os(b"OTHER"), os(b"a\xff"));
        let found = checked([good.clone(), foreign].into_iter()).unwrap();
        assert_eq!(found.get("LSNAP_CLUSTER").unwrap(), "shop");
        assert_eq!(found.len(), 1);
        for bad in [
            (os(b"LSNAP_CLUSTER"), os(b"a\xff")),
            (os(b"LSNAP_\xff"), os(b"a")),
        ] {
            let error = checked([good.clone(), bad].into_iter()).unwrap_err();
            assert!(
                error.starts_with("LSNAP_") && error.contains("UTF-8"),
                "{error}"
            );
        }
    }
}
