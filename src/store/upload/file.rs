//! The end of a file: waits for its objects and checks their order.

use crate::manifest::{ObjectEntry, check_objects, object_name};
use crate::store::error::StoreError;
use crate::store::upload::packs::send_pack_of;
use crate::store::upload::state::{FileState, State, Upload, digest_of};

impl Upload {
    /// Waits for the puts of `path` and returns its objects, sorted by index. No more objects can
    /// be put for it.
    ///
    /// # Errors
    /// The first failure of the upload; [`UploadFault::Misuse`](crate::store::UploadFault::Misuse)
    /// if nothing was put for `path`, its indices are not dense from 0, or its offsets do not
    /// ascend from 0.
    pub fn finish_file(&self, path: &str) -> Result<Vec<ObjectEntry>, StoreError> {
        let inner = &self.inner;
        send_pack_of(inner, path)?;
        let busy = |state: &State| matches!(state.files.get(path), Some(FileState::Open { in_flight, .. }) if *in_flight > 0);
        let mut state = inner.wait_while(|state| state.failure.is_none() && busy(state));
        if let Some(failure) = &state.failure {
            return Err(failure.clone());
        }
        let Some(FileState::Open { entries, .. }) = state.files.get_mut(path) else {
            return inner.fail(
                state,
                inner.misuse(format!(
                    "{path} was finished already, or nothing was put for it"
                )),
            );
        };
        let mut entries = std::mem::take(entries);
        entries.sort_unstable_by_key(|e| e.index);
        let done = FileState::Done {
            count: entries.len() as u64,
            digest: digest_of(&entries),
            packed: entries.iter().any(|entry| entry.pack.is_some()),
        };
        state.files.insert(path.to_owned(), done);
        if let Err(reason) = check_objects(path, &entries) {
            // an abort removes 0..count of a finished file, so the sparse indices are recorded
            // individually
            let doubtful = entries
                .iter()
                .map(|e| (object_name(path, e.index), e.digest_text()));
            state.doubtful.extend(doubtful);
            state.files.remove(path);
            return inner.fail(state, inner.misuse(reason.to_string()));
        }
        Ok(entries)
    }
}
