//! A backup, a deletion, the checkpoint of a backup. Each runs in a thread of its own, which goes on if the client goes
//! away.

use super::checkpoint::{self, CheckpointInfo};
use super::children::{ChildError, Children, Log};
use super::config::BackupConfig;
use super::key_file::{PATIENCE, wait_for_key};
use super::{Sidecar, USER, applier, calls};
use crate::cancel::Cancel;
use crate::counted::count;
use crate::secret_file;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use zeroize::Zeroizing;

/// The longest password, in bytes.
const MAX_PASSWORD: u64 = 4096;
/// The time for the removal of the objects of a failed backup, also if the agent is shutting down.
const CLEANUP: Duration = Duration::from_secs(60);

/// The state of a destination, as `xbcloud state` prints it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stored {
    Absent,
    Unfinished,
    Finished,
}

/// The work of a request.
pub(super) struct Work {
    pub(super) sidecar: Arc<Sidecar>,
    pub(super) config: BackupConfig,
    pub(super) log: Log,
}

impl Work {
    /// Runs work in a thread of its own, and returns its result.
    ///
    /// # Errors
    /// The error of the work, or the thread can't be started.
    pub(super) async fn run<T: Send + 'static>(
        self,
        work: impl AsyncFnOnce(&Self) -> Result<T, String> + Send + 'static,
    ) -> Result<T, String> {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let threaded = move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            let result = match runtime {
                Ok(runtime) => runtime.block_on(work(&self)),
                Err(error) => Err(error.to_string()),
            };
            if let Err(error) = &result {
                self.log.note(&format!("error: {error}"));
            }
            drop(self);
            // The client may have gone away.
            let _gone = sender.send(result);
        };
        let thread = std::thread::Builder::new().name("sidecar".to_owned());
        thread.spawn(threaded).map_err(|error| error.to_string())?;
        let result = receiver.await;
        result.unwrap_or_else(|_| Err("the work ended without a result".to_owned()))
    }

    /// Makes a backup, unless there is a finished one.
    ///
    /// # Errors
    /// The reason. The objects of the backup are removed then.
    pub(super) async fn back_up(&self) -> Result<(), String> {
        let cancel = &self.sidecar.cancel;
        let config = &self.config;
        if !config.encryption_key_file.is_empty() {
            let file = Path::new(&config.encryption_key_file);
            wait_for_key(file, &config.encryption_key_version, PATIENCE, cancel)?;
        }
        match self.state(cancel).await? {
            Stored::Finished => {
                self.log.note(&format!(
                    "{} is finished: nothing is changed",
                    config.destination
                ));
                return Ok(());
            }
            Stored::Unfinished => {
                self.log.note(&format!(
                    "{} has the objects of a backup that was never finished: they are removed",
                    config.destination
                ));
                self.delete(cancel).await?;
            }
            Stored::Absent => {}
        }
        let password = password(&self.sidecar.settings.users_dir.join(USER))?;
        let appliers = self.appliers(&password);
        let made = self.make(&password).await;
        if made.is_err() {
            if let Err(error) = applier::start(&self.sidecar, &password, &appliers) {
                self.log
                    .note(&format!("the replica's appliers can't be started: {error}"));
            }
            return made;
        }
        match self.state(cancel).await? {
            Stored::Finished => {
                self.log
                    .note(&format!("{} is finished", config.destination));
                Ok(())
            }
            _ => Err(format!(
                "the backup was stored, but {} is not finished in the store",
                config.destination
            )),
        }
    }

    /// Returns the channels whose appliers run, on an asynchronous replica.
    fn appliers(&self, password: &str) -> Vec<String> {
        if !self.sidecar.asynchronous {
            return Vec::new();
        }
        applier::running(&self.sidecar, password).unwrap_or_else(|error| {
            self.log
                .note(&format!("the replica's appliers are not known: {error}"));
            Vec::new()
        })
    }

    /// Runs the programs of a backup. After a failure, the objects are removed.
    async fn make(&self, password: &str) -> Result<(), String> {
        let files = &self.sidecar.option_files;
        let backup = calls::backup(&self.config, password, files);
        let put = calls::put(&self.config, files);
        let cancel = &self.sidecar.cancel;
        let piped = self.children(cancel).pipe(&backup, &put).await;
        let piped = piped.map_err(|error| error.to_string())?;
        let (writer, reader) = (piped.writer, piped.reader);
        // Then the objects are those of another upload, which began just now.
        let exists = matches!(&reader, Err(ChildError::Failed { last, .. }) if last.contains("already exists!"));
        let cause = match (writer, reader) {
            (Ok(()), Ok(())) => return Ok(()),
            // The program that reads fails after the other one, which is the cause.
            (Err(error), _) if !exists => error,
            (_, Err(error)) | (Err(error), Ok(())) => error,
        };
        if !exists {
            self.clean_up().await;
        }
        Err(cause.to_string())
    }

    /// Removes the objects of a failed backup. If that fails too, they don't look like a finished backup, or the log
    /// has the reason.
    async fn clean_up(&self) {
        let cancel = Cancel::new();
        let cleaned = tokio::time::timeout(CLEANUP, async {
            match self.state(&cancel).await? {
                Stored::Absent => Ok(()),
                Stored::Unfinished | Stored::Finished => self.delete(&cancel).await,
            }
        });
        let cleaned = cleaned.await.unwrap_or_else(|_| {
            Err(format!(
                "it took longer than {}",
                count(CLEANUP.as_secs(), "second")
            ))
        });
        match cleaned {
            Ok(()) => self
                .log
                .note("the objects of the failed backup were removed"),
            Err(error) => self.log.note(&format!(
                "the objects of the failed backup were not removed: {error}"
            )),
        }
    }

    /// Deletes a backup, if it exists.
    ///
    /// # Errors
    /// The store can't be reached, or other backups need this one.
    pub(super) async fn delete_existing(&self) -> Result<(), String> {
        let cancel = &self.sidecar.cancel;
        if self.state(cancel).await? == Stored::Absent {
            self.log
                .note(&format!("there is no {}", self.config.destination));
            return Ok(());
        }
        self.delete(cancel).await
    }

    /// Returns the checkpoint of a finished backup.
    ///
    /// # Errors
    /// There is no finished backup, or its checkpoint can't be read.
    pub(super) async fn checkpoint(&self) -> Result<CheckpointInfo, String> {
        let cancel = &self.sidecar.cancel;
        let destination = &self.config.destination;
        match self.state(cancel).await? {
            Stored::Finished => {}
            Stored::Absent => return Err(format!("there is no backup {destination}")),
            Stored::Unfinished => return Err(format!("the backup {destination} is not finished")),
        }
        let call = calls::get(&self.config, checkpoint::FILE, &self.sidecar.option_files);
        let stream = self.children(cancel).run(&call).await;
        CheckpointInfo::of_stream(stream.map_err(|error| error.to_string())?)
    }

    async fn delete(&self, cancel: &Cancel) -> Result<(), String> {
        let call = calls::delete(&self.config, &self.sidecar.option_files);
        let deleted = self.children(cancel).run(&call).await;
        deleted.map(drop).map_err(|error| error.to_string())
    }

    async fn state(&self, cancel: &Cancel) -> Result<Stored, String> {
        let call = calls::state(&self.config, &self.sidecar.option_files);
        let output = self.children(cancel).run(&call).await;
        let output = output.map_err(|error| error.to_string())?;
        match output.trim_ascii() {
            b"absent" => Ok(Stored::Absent),
            b"unfinished" => Ok(Stored::Unfinished),
            b"finished" => Ok(Stored::Finished),
            _ => Err("xbcloud state printed no state".to_owned()),
        }
    }

    fn children(&self, cancel: &Cancel) -> Children<'_> {
        Children {
            program: &self.sidecar.program.path,
            log: &self.log,
            cancel: cancel.clone(),
        }
    }
}

/// Reads the password of an account from the operator's secret.
fn password(file: &Path) -> Result<Zeroizing<String>, String> {
    let failed = |reason: String| {
        format!(
            "the password of {USER} can't be read: {}: {reason}",
            file.display()
        )
    };
    // Secrets of Kubernetes are readable by more users: the warning says nothing new.
    let secret = secret_file::read(file, "password", MAX_PASSWORD);
    let secret = secret.map_err(|error| failed(error.to_string()))?;
    let text = std::str::from_utf8(&secret.bytes).map_err(|_| failed("it is not UTF-8".into()))?;
    Ok(Zeroizing::new(text.trim().to_owned()))
}
