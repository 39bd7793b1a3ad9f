//! Finishing an upload: the manifest is compared with the puts and with the store, then put last.

use crate::counted;
use crate::manifest::document::{MANIFEST, SUMMARY};
use crate::manifest::{
    BackupName, FileEntry, Finding, Manifest, ManifestError, Summary, digest_text, document,
    object_name, packed, split_object_name,
};
use crate::store::error::StoreError;
use crate::store::error::lease::LeaseFault;
use crate::store::lease::record::End;
use crate::store::objects::manifest_key;
use crate::store::objects::manifest_key::Put;
use crate::store::objects::repository::Repository;
use crate::store::objects::short::ShortNames;
use crate::store::upload::state::{FileState, Inner, Upload, UploadPhase, digest_of};
use bytes::Bytes;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl Upload {
    /// Waits for all puts, compares `manifest` with the puts and with a listing of the store, and
    /// puts the manifest last. Every object was made durable by its own put (a local repository
    /// flushes file and directory). [`Manifest::digest`] of the argument is ignored.
    ///
    /// # Errors
    /// The first failure of the upload: the manifest was not put then.
    /// [`ManifestError::Refused`](crate::manifest::ManifestError::Refused) if the manifest
    /// contradicts itself or the puts; [`StoreError::Missing`] or [`StoreError::Damaged`] if the
    /// store doesn't have the objects that were put. After an error of the manifest's own put the
    /// backup may or may not be finished; [`Self::abort`] on a clone decides.
    pub fn finish(self, manifest: &Manifest) -> Result<(), StoreError> {
        let inner = &self.inner;
        let mut state = inner.lock();
        if state.phase != UploadPhase::Open {
            return Err(inner.misuse("finish after finish or abort".to_owned()));
        }
        state.phase = UploadPhase::Finishing;
        drop(state);
        let result = inner.finish(manifest);
        let state = inner.lock();
        match result {
            Ok(()) => {
                inner.set_phase(state, UploadPhase::Finished);
                Ok(())
            }
            Err(error) => {
                let failed = inner.fail(state, error);
                inner.set_phase(inner.lock(), UploadPhase::Open);
                failed
            }
        }
    }
}

impl Inner {
    fn finish(&self, manifest: &Manifest) -> Result<(), StoreError> {
        let state = self.drain();
        if let Some(failure) = &state.failure {
            return Err(failure.clone());
        }
        let refuse = |what: Finding| {
            StoreError::Manifest(ManifestError::Refused {
                name: self.name.clone(),
                reason: what.to_string(),
            })
        };
        let format = packed::format_of(&manifest.files);
        if manifest.name != self.name || manifest.format != format {
            return Err(refuse(Finding::new(
                format!("it is of {} with format {}", manifest.name, manifest.format),
                format!("{} with format {format}", self.name),
            )));
        }
        manifest.check().map_err(refuse)?;
        compare_with_puts(&manifest.files, &state.files).map_err(|what| refuse(what.into()))?;
        drop(state);
        self.repository
            .compare_with_files(&self.name, &manifest.files)?;
        let sealed = document::seal(&self.name, MANIFEST, manifest)?;
        let summary = Summary::of(manifest, sealed.digest.clone(), sealed.len());
        let summary = document::seal(&self.name, SUMMARY, &summary)?;
        if let Some(lease) = self.lease.get() {
            lease.check()?;
        }
        self.put_document(SUMMARY, summary.parts)?;
        self.commit_slot()?;
        self.put_manifest(sealed.parts)
    }

    /// Enters the slot of the backup as the last step before its manifest ([`crate::store::slots`]).
    pub(in crate::store) fn commit_slot(&self) -> Result<(), StoreError> {
        let Some(claim) = self.slot.get() else {
            return Ok(());
        };
        let slots = self.repository.slots(&claim.schedule)?;
        slots.commit(claim.slot, &claim.token, &self.name)
    }

    /// Puts the manifest. Its key is a register that other processes may have decided (see
    /// [`manifest_key`]).
    pub(in crate::store) fn put_manifest(&self, parts: Vec<Bytes>) -> Result<(), StoreError> {
        let location = self
            .repository
            .location(&self.name, &object_name(MANIFEST, 0))?;
        let mut hasher = blake3::Hasher::new();
        for part in &parts {
            hasher.update(part);
        }
        let digest = digest_text(hasher.finalize());
        let object = object_name(MANIFEST, 0);
        self.lock().doubtful.push((object, digest));
        if let Some(lease) = self.lease.get() {
            lease.sending();
        }
        let for_slot = self.slot.get().is_some();
        self.sent_for_slot.store(for_slot, Ordering::Release);
        let store = Arc::clone(self.repository.store()?);
        let runtime = self.repository.runtime();
        let key = location.to_string();
        let put = runtime.wait("putting the manifest", async move {
            manifest_key::put(&*store, &location, parts).await
        })?;
        match put {
            Put::Stored => {
                if let Some(lease) = self.lease.get() {
                    lease.end(End::Done);
                }
                Ok(())
            }
            Put::RefusedByVoid => Err(LeaseFault::Lost {
                chain: self.name.base(),
                to: None,
            }
            .into()),
            Put::Other => Err(StoreError::ObjectExists { key }),
            Put::Unsure(error) => Err(error),
        }
    }
}

impl Repository {
    /// Checks with one listing that every object of `files` exists with its length.
    pub(in crate::store) fn compare_with_files(
        &self,
        name: &BackupName,
        files: &[FileEntry],
    ) -> Result<(), StoreError> {
        let mut missing: HashMap<&str, Vec<Option<u64>>> = packed::stored_objects(files)
            .into_iter()
            .map(|(path, lengths)| (path, lengths.into_iter().map(Some).collect()))
            .collect();
        let short = ShortNames::of(files.iter().map(|f| f.path.as_stored()));
        let mut wrong = None;
        self.each_object(name.as_str(), |object, bytes| {
            let Some((path, index)) = split_object_name(object) else {
                return true;
            };
            let at = usize::try_from(index).unwrap_or(usize::MAX);
            let path = short.path(path);
            let expected = missing.get_mut(path).and_then(|file| file.get_mut(at));
            if let Some(expected) = expected.and_then(Option::take)
                && expected != bytes
            {
                wrong = Some(StoreError::Damaged {
                    object: format!("{name}/{object}"),
                    what: Finding::new(format!("length found {bytes}"), expected),
                });
            }
            wrong.is_none()
        })?;
        if let Some(wrong) = wrong {
            return Err(wrong);
        }
        for file in files {
            let objects = missing.get(file.path.as_stored()).into_iter().flatten();
            let gone = (0u64..).zip(objects).find_map(|(i, o)| Some((i, (*o)?)));
            if let Some((index, bytes)) = gone {
                return Err(StoreError::Missing {
                    object: format!("{name}/{}", object_name(file.path.as_stored(), index)),
                    bytes,
                });
            }
        }
        Ok(())
    }
}

fn compare_with_puts(files: &[FileEntry], put: &HashMap<String, FileState>) -> Result<(), String> {
    for file in files {
        let path = file.path.as_stored();
        match put.get(path) {
            None => return Err(format!("file {path} was not put")),
            Some(FileState::Open { .. }) => return Err(format!("file {path} was not finished")),
            Some(FileState::Done { count, digest, .. }) => {
                if *count != file.objects.len() as u64 || *digest != digest_of(&file.objects) {
                    return Err(format!(
                        "file {path}: its {} are not the {count} that were put",
                        counted::count(file.objects.len(), "object")
                    ));
                }
            }
        }
    }
    // `check` has verified that paths are unique
    if files.len() != put.len() {
        let listed: HashSet<_> = files.iter().map(|f| f.path.as_stored()).collect();
        let extra = put.keys().find(|path| !listed.contains(path.as_str()));
        return Err(format!(
            "file {} was put, but is not in the manifest",
            extra.map_or("?", |p| p)
        ));
    }
    Ok(())
}
