//! Connection strings of Azure storage accounts: `Key=value;Key=value`.
//!
//! Facts: "Configure Azure Storage connection strings" in Microsoft's documentation, and the values
//! that Azurite publishes for `UseDevelopmentStorage=true` (which is refused: it stands for a fixed
//! account with a publicly known key).

use crate::store::error::StoreError;
use crate::store::error::open::OpenFault;

/// The parts of a connection string. Not `Debug`, because it contains secrets.
#[derive(Default)]
pub(super) struct Connection {
    pub account: Option<String>,
    pub key: Option<String>,
    pub sas: Option<String>,
    /// The base URL of blobs, without a slash at the end.
    pub endpoint: Option<String>,
}

/// Parses a connection string. Messages don't contain any part of it.
pub(super) fn parse(text: &str) -> Result<Connection, StoreError> {
    let bad = |reason: String| {
        StoreError::Open(OpenFault::BadOption {
            option: "AZURE_STORAGE_CONNECTION_STRING",
            reason,
        })
    };
    let mut connection = Connection::default();
    let (mut protocol, mut suffix) = (None, None);
    for (at, part) in text
        .split(';')
        .map(str::trim)
        .filter(|p| !p.is_empty())
        .enumerate()
    {
        let Some((key, value)) = part.split_once('=') else {
            return Err(bad(format!(
                "part {} has no `=`, expected Key=value;Key=value",
                at + 1
            )));
        };
        let value = value.trim().to_owned();
        match key.trim().to_ascii_lowercase().as_str() {
            "accountname" => connection.account = Some(value),
            "accountkey" => connection.key = Some(value),
            "sharedaccesssignature" => connection.sas = Some(value),
            "blobendpoint" => connection.endpoint = Some(value.trim_end_matches('/').to_owned()),
            "defaultendpointsprotocol" => protocol = Some(value),
            "endpointsuffix" => suffix = Some(value),
            "usedevelopmentstorage" => {
                return Err(bad(
                    "UseDevelopmentStorage is not supported: set AccountName, AccountKey and \
                     BlobEndpoint"
                        .to_owned(),
                ));
            }
            _ => {}
        }
    }
    if connection.endpoint.is_none()
        && let Some(account) = &connection.account
        && (protocol.is_some() || suffix.is_some())
    {
        let protocol = protocol.as_deref().unwrap_or("https");
        let suffix = suffix.as_deref().unwrap_or("core.windows.net");
        connection.endpoint = Some(format!("{protocol}://{account}.blob.{suffix}"));
    }
    Ok(connection)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connection_strings_of_the_portal_and_of_azurite_are_parsed() {
        let c = parse("DefaultEndpointsProtocol=https;AccountName=acc;AccountKey=a+b/==;EndpointSuffix=core.windows.net").unwrap();
        assert_eq!(c.account.as_deref(), Some("acc"));
        assert_eq!(c.key.as_deref(), Some("a+b/=="));
        assert_eq!(
            c.endpoint.as_deref(),
            Some("https://acc.blob.core.windows.net")
        );
        let c = parse("AccountName=d;AccountKey=k=;BlobEndpoint=http://127.0.0.1:1/d/;").unwrap();
        assert_eq!(c.endpoint.as_deref(), Some("http://127.0.0.1:1/d"));
        let c =
            parse("BlobEndpoint=https://a.example;SharedAccessSignature=sv=1&sig=x%3D").unwrap();
        assert_eq!(c.sas.as_deref(), Some("sv=1&sig=x%3D"));
    }

    #[test]
    fn an_invalid_string_is_refused_and_not_shown() {
        for text in [
            "hidden",
            "AccountName=a;hidden",
            "UseDevelopmentStorage=true;x=hidden",
        ] {
            let error = parse(text).err().unwrap().to_string();
            assert!(!error.contains("hidden"), "{error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in ".{0,100}") {
            let _ = parse(&text);
        }
    }
}
