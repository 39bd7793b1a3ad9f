//! The `.sdi` files of tables of other engines than InnoDB. The server writes one for each such table, next to its
//! files; its text is JSON.
//!
//! The name of the file has only the first characters of the table's, so the table is read from the text.

use crate::datadir::PlainFile;
use crate::server::EngineRow;
use serde_json::Value;
use std::fs::File;
use std::io::Read as _;

/// Largest `.sdi` file that is read, in bytes. They have a few KiB.
const LONGEST: u64 = 16 << 20;

/// Returns whether the file is one by its name.
pub(super) fn is_one(file: &PlainFile) -> bool {
    file.name.ends_with(".sdi")
}

/// Returns the table that the file describes.
///
/// # Errors
/// The reason why the file can't be read.
pub(super) fn table(file: &PlainFile) -> Result<EngineRow, String> {
    let mut text = Vec::new();
    let source = File::open(&file.source).map_err(|error| error.to_string())?;
    let mut source = source.take(LONGEST + 1);
    source
        .read_to_end(&mut text)
        .map_err(|error| error.to_string())?;
    if text.len() as u64 > LONGEST {
        return Err(format!("it has more than {LONGEST} bytes"));
    }
    parsed(&text)
}

fn parsed(text: &[u8]) -> Result<EngineRow, String> {
    let value: Value = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    let part = |name: &str| {
        let part = value.pointer(&format!("/dd_object/{name}"));
        part.and_then(Value::as_str).map(str::to_owned)
    };
    let required = |name: &str| part(name).ok_or_else(|| format!("it lacks dd_object.{name}"));
    Ok(EngineRow {
        schema: required("schema_ref")?,
        table: required("name")?,
        engine: part("engine"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_read_from_the_text() {
        let text = br#"{"mysqld_version_id":90704,"dd_object_type":"Table","dd_object":{"name":"T\u00e4ble #x","engine":
            "MyISAM","schema_ref":"odd name"}}"#;
        let row = parsed(text).unwrap();
        assert_eq!(
            (row.schema.as_str(), row.table.as_str()),
            ("odd name", "T\u{e4}ble #x")
        );
        assert!(row.is_backed_up());
        let unknown = parsed(br#"{"dd_object":{"name":"t","schema_ref":"s"}}"#).unwrap();
        assert!(!unknown.is_backed_up());
        for (text, word) in [
            (&b"{"[..], "EOF"),
            (b"", "EOF"),
            (b"[]", "schema_ref"),
            (
                br#"{"dd_object":{"name":7,"schema_ref":"s"}}"#,
                "dd_object.name",
            ),
            (b"\xFF\xFE", "expected value"),
        ] {
            let why = parsed(text).unwrap_err();
            assert!(why.contains(word), "{why}");
        }
    }
}
