//! Small stored files, read as a whole.

use super::error::ReadError;
use super::fetch::Fetcher;
use super::spaces::check_objects;
use super::stored::Stored;

/// Reads the content of a small stored file.
pub(crate) fn content(fetcher: &Fetcher<'_>, stored: Stored<'_>) -> Result<Vec<u8>, ReadError> {
    check_objects(stored.manifest.name.as_str(), stored.entry)?;
    let mut content = Vec::new();
    for index in 0..stored.entry.objects.len() {
        fetcher.each::<ReadError>(stored, index, &mut |_, data| {
            content.extend_from_slice(&data);
            Ok(())
        })?;
    }
    Ok(content)
}
