//! The variables of lsnap in the environment.

use std::collections::BTreeMap;
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
