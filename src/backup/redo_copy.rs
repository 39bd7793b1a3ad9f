//! Follows the redo and sends it to the destination of the backup, while everything else is copied.

use super::RANGE_BYTES;
use super::copied::{Copied, CopiedRedo};
use super::error::BackupError;
use super::metadata::LOGFILE;
use super::redo::stop_channel;
use super::redo_start::{self, Started};
use super::session::Session;
use super::spool::{Piece, Spool};
use super::wrap;
use crate::progress::Phase;
use crate::server::Server;
use bytes::Bytes;
use std::time::Duration;

impl Session<'_> {
    /// Runs the part of the backup that needs the instance lock.
    pub(super) fn copy(&self, server: &mut Server) -> Result<Copied, BackupError> {
        let from = redo_start::Origin {
            redo_dir: &self.paths().redo_dir.join("#innodb_redo"),
            spool_dir: &self.options.spool_dir,
            stamp: &self.started.format("%y%m%d %H:%M:%S").to_string(),
        };
        let started = redo_start::begin(&from, self.progress, |files, start| {
            self.check_base(server, files, start)?;
            Ok(server.current_lsn()?)
        })?;
        self.copy_while_following(server, started)
    }

    /// Copies the contents while the follower, which has caught up, continues.
    fn copy_while_following(
        &self,
        server: &mut Server,
        started: Started,
    ) -> Result<Copied, BackupError> {
        let Started {
            start,
            spool,
            follower,
        } = started;
        let spool = &*spool;
        let (stop, stopped) = stop_channel();
        // A part that fails cancels the others.
        let parts = self.options.cancel.child();
        std::thread::scope(|scope| {
            let uploading = scope.spawn(|| self.send_redo(spool));
            let parts = &parts;
            let following = scope.spawn(move || {
                let result = follower.run(&stopped);
                spool.close(result.is_ok());
                if result.is_err() {
                    parts.cancel();
                }
                result
            });
            let locked = self.copy_contents(server, &start, spool, parts);
            if let Ok(g) = &locked {
                self.progress.phase(Phase::Redo, None);
                // If the follower has ended, its error is returned by the join below.
                let _ = stop.send(g.stop_at());
            }
            drop(stop);
            let mark = following
                .join()
                .map_err(|_| BackupError::Panicked("redo follower"))?;
            // The redo is in the spool: the locks are released before its upload ends.
            let unlocked = if let (Ok(locked), Ok(_)) = (&locked, &mark) {
                locked.unlock(server)
            } else {
                // The backup has failed: statements that wait for the locks must not wait for the
                // cleanup.
                let unlocked = server.unlock_tables();
                let _ = unlocked.and_then(|()| server.unlock_instance());
                Ok(Duration::ZERO)
            };
            self.sink.unstage();
            let uploaded = uploading
                .join()
                .map_err(|_| BackupError::Panicked("redo upload"))?;
            match (locked, mark, unlocked, uploaded) {
                (Ok(locked), Ok(mark), Ok(tables_locked), Ok(bytes)) => Ok(Copied {
                    contents: locked.contents,
                    redo: CopiedRedo { start, bytes, mark },
                    tables_locked,
                }),
                (locked, mark, unlocked, uploaded) => {
                    let first = [locked.err(), mark.err()];
                    let then = [unlocked.err(), uploaded.err()];
                    Err(self.reason(first.into_iter().chain(then).flatten()))
                }
            }
        })
    }

    /// Sends the redo from the spool to the destination of the backup; returns its length.
    fn send_redo(&self, spool: &Spool) -> Result<u64, BackupError> {
        let (mut offset, mut index) = (0u64, 0u64);
        loop {
            let mut data = vec![0; RANGE_BYTES];
            let len = match spool.read(offset, &mut data)? {
                Piece::Data(len) => len,
                Piece::End | Piece::Failed => 0,
            };
            data.truncate(len);
            let last = len < RANGE_BYTES;
            let piece = wrap::Piece {
                index,
                offset,
                hole: 0,
                data: Bytes::from(data),
                last,
            };
            self.sink.put(LOGFILE, self.redo_wrap_mode(), piece)?;
            spool.release(offset, offset + len as u64);
            offset += len as u64;
            index += 1;
            if last {
                return Ok(offset);
            }
        }
    }
}
