//! `put`, `get` and `delete`.

use super::place::Place;
use super::table::Opt;
use super::{Failure, log, threads};
use crate::archive::Input;
use crate::archive::fifo::{self, FifoOptions};
use crate::cli;
use crate::cloud::{
    CloudError, DeleteOptions, GetOptions, PutManner, PutOptions, delete as delete_objects,
    get_streams, put as put_stream, stored_state,
};
use crate::compat::options::Parsed;
use crate::manifest::{BackupName, CLAIM, object_name};
use crate::progress::Progress;
use crate::store::{BackupFault, Repository, RequestFault, StoreError, StoreOptions, UploadFault};
use std::fs::File;
use std::io::Write;
use std::time::Duration;

/// Memory for an object in transit, twice: xtrabackup's chunks have 10 MiB.
const EACH: u64 = 24 << 20;
/// The largest memory in bytes, however many objects are transferred concurrently.
const MOST: u64 = 1 << 30;

/// Writes the notes of a transfer to the log.
struct Notes;

impl Progress for Notes {
    fn note(&self, message: &str) {
        log::line(message);
    }
}

/// Returns the number of objects that are transferred concurrently, and the memory in bytes.
fn limits(options: &Parsed) -> (usize, u64) {
    let streams = fifos(options).unwrap_or(1);
    let parallel = threads(options).saturating_mul(streams).min(1024);
    let streams = streams as u64;
    let wanted = (parallel as u64).saturating_mul(EACH).min(MOST);
    (parallel, wanted.max(PutOptions::memory_for(streams)))
}

/// Returns the number of FIFOs, if the stream goes through FIFOs.
fn fifos(options: &Parsed) -> Option<usize> {
    let streams = options.number(Opt::FifoStreams)?;
    usize::try_from(streams).ok().filter(|streams| *streams > 1)
}

fn fifo_options(options: &Parsed) -> Result<Option<FifoOptions>, Failure> {
    let Some(count) = fifos(options) else {
        return Ok(None);
    };
    let directory = options.path(Opt::FifoDir).ok_or_else(|| {
        Failure("--fifo-streams needs the directory of the FIFOs; give --fifo-dir".to_owned())
    })?;
    Ok(Some(FifoOptions {
        directory,
        count,
        timeout: Duration::from_secs(options.number(Opt::FifoTimeout).unwrap_or(60)),
        cancel: cli::cancel(),
    }))
}

pub(super) fn put(place: &Place, store: &StoreOptions, options: &Parsed) -> Result<(), Failure> {
    let cancel = cli::on_signal("the objects that were stored stay").map_err(Failure)?;
    let fifos = fifo_options(options)?;
    let repository = open(place, store)?;
    let (parallel, memory) = limits(options);
    let how = PutOptions {
        parallel,
        memory,
        md5: options.is_on(Opt::Md5),
        manner: PutManner::Xbcloud,
        cancel,
    };
    // Before anything is read: the program that writes the stream ends then.
    create_bucket_if_missing(&repository, place, store)?;
    let inputs = match fifos {
        Some(fifos) => fifo::readers(&fifos).map_err(|error| Failure(error.to_string()))?,
        None => vec![cli::standard_input().map_err(Failure)?],
    };
    let inputs = inputs.into_iter().map(Input::Pipe).collect();
    match put_stream(&repository, &place.name, inputs, &how, &Notes) {
        Ok(_) => {
            log::line("xbcloud: Upload completed.");
            Ok(())
        }
        Err(CloudError::Store(StoreError::Upload(UploadFault::Exists { name, found }))) => {
            Err(Failure(format!(
                "error: backup named {name} already exists! (there is {found})"
            )))
        }
        Err(CloudError::Incomplete { what, .. }) => Err(Failure(format!(
            "Upload failed: backup is incomplete: {what}. The objects that were stored stay; delete them with \
             `xbcloud delete`"
        ))),
        Err(error) => Err(Failure(format!(
            "Upload failed: {error}. The objects that were stored stay; delete them with `xbcloud delete`"
        ))),
    }
}

fn create_bucket_if_missing(
    repository: &Repository,
    place: &Place,
    store: &StoreOptions,
) -> Result<(), Failure> {
    let found = repository.bucket().each(place.name.as_str(), |_, _| false);
    match found {
        Err(StoreError::Request {
            kind: RequestFault::NoBucket,
            ..
        }) if place.storage != super::place::Storage::Azure => {
            Repository::create_bucket(&place.url, store)?;
            log::line(&format!("xbcloud: the bucket of {} was created", place.url));
            Ok(())
        }
        found => Ok(found?),
    }
}

pub(super) fn get(
    place: &Place,
    store: &StoreOptions,
    files: Vec<String>,
    options: &Parsed,
) -> Result<(), Failure> {
    let cancel = cli::on_signal("the stream ends before its end").map_err(Failure)?;
    let fifos = fifo_options(options)?;
    let repository = open(place, store)?;
    refuse_missing(&repository, &place.name)?;
    let outs = match fifos {
        Some(fifos) => fifo::writers(&fifos).map_err(|error| Failure(error.to_string()))?,
        None => vec![cli::standard_output().map_err(Failure)?],
    };
    let (parallel, memory) = limits(options);
    let mut how = GetOptions {
        parallel,
        memory,
        files,
        cancel,
        ..GetOptions::default()
    };
    let mut result = get_streams(&repository, &place.name, streams(&outs)?, &how, &Notes);
    if let Err(CloudError::Unfinished { name }) = &result
        && !is_of_lsnap(&repository, name)?
    {
        // xbcloud gets incomplete uploads, and a program of Percona's operator relies on it.
        log::line(&format!(
            "xbcloud: warning: the upload of {name} was never completed: files may be missing"
        ));
        how.unfinished = true;
        result = get_streams(&repository, &place.name, streams(&outs)?, &how, &Notes);
    }
    match result {
        Ok(_) => {
            cli::sync_output().map_err(Failure)?;
            log::line("xbcloud: Download completed.");
            Ok(())
        }
        Err(error) => Err(Failure(format!("Download failed: {error}"))),
    }
}

/// Returns whether lsnap began the backup: then only its manifest completes it.
fn is_of_lsnap(repository: &Repository, name: &BackupName) -> Result<bool, Failure> {
    let claim = format!("{name}/{}", object_name(CLAIM, 0));
    Ok(repository.bucket().length(&claim)?.is_some())
}

fn streams(outs: &[File]) -> Result<Vec<Box<dyn Write + Send>>, Failure> {
    let copies = outs
        .iter()
        .map(|out| -> Result<Box<dyn Write + Send>, Failure> {
            let copy = out.try_clone();
            let copy = copy.map_err(|error| Failure(format!("cannot use the output: {error}")))?;
            Ok(Box::new(copy))
        });
    copies.collect()
}

/// Refuses a name without objects, before FIFOs are made.
fn refuse_missing(repository: &Repository, name: &BackupName) -> Result<(), Failure> {
    let mut any = false;
    repository.bucket().each(name.as_str(), |_, _| {
        any = true;
        false
    })?;
    if any {
        return Ok(());
    }
    Err(StoreError::Backup(BackupFault::NotFound {
        name: name.to_string(),
        url: repository.url().to_owned(),
        hint: format!("there are no objects under {name}/"),
    })
    .into())
}

pub(super) fn delete(place: &Place, store: &StoreOptions, options: &Parsed) -> Result<(), Failure> {
    let repository = open(place, store)?;
    let how = DeleteOptions {
        parallel: threads(options),
        cancel: cli::on_signal("run it again to delete the rest").map_err(Failure)?,
    };
    match delete_objects(&repository, &place.name, &how, &Notes) {
        Ok(_) => {
            log::line("xbcloud: Delete completed.");
            Ok(())
        }
        Err(error) => Err(Failure(format!("Delete failed: {error}"))),
    }
}

/// Prints the state of the objects.
pub(super) fn state(place: &Place, store: &StoreOptions) -> Result<(), Failure> {
    let repository = open(place, store)?;
    let state =
        stored_state(&repository, &place.name).map_err(|error| Failure(error.to_string()))?;
    cli::print(&format!("{}\n", state.name()));
    Ok(())
}

fn open(place: &Place, store: &StoreOptions) -> Result<Repository, Failure> {
    let repository = Repository::open_with(&place.url, store)?;
    repository.cancel_on(&cli::cancel());
    Ok(repository)
}
