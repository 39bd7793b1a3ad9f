//! The last step: the redo log of the newest member is checked, put into `#innodb_redo`, and
//! applied by a `mysqld`, or left for the first start of the server.
//!
//! Once a `mysqld` may have changed the files, they only fit to the redo log that it wrote: the
//! backup's redo log must not be used again. So an interrupted recovery is continued like that of a
//! server that crashed, with the doublewrite buffer, which repairs torn pages.

use super::PrepareOptions;
use super::error::PrepareError;
use super::files::{Files, io};
use super::journal::{Journal, Phase};
use super::log::is_doublewrite;
use super::member::Member;
use super::merging::{bare_plan, fetcher};
use crate::manifest::FileRole;
use crate::progress::{Phase as Shown, Progress};
use crate::reader::counters::Counters;
use crate::reader::redo_log;
use crate::restore::applier::{self, ApplierKind, ApplierPlan};
use crate::restore::binary_log::BinaryLog;
use crate::restore::error::refuse;
use crate::restore::finished::{self, Class};
use crate::restore::held::{self, WorkDirectories};
use crate::restore::mysqld::{Recovered, Recovery, Workplace};
use crate::restore::owner::Owner;
use crate::restore::{ApplierChoice, RestoreError, RestoreOptions, merge, reach, redo};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// The directory of a recovery, in the target: removed when it has succeeded.
pub(super) const WORK: &str = ".lsnap-prepare";
/// The list of the files of a keyring that were placed for the recovery, in [`WORK`].
const PLACED: &str = "placed";
const TABLESPACES: &str = "xtrabackup_tablespaces";

/// The last step on a target.
pub(super) struct LastStep<'a> {
    pub(super) options: &'a PrepareOptions,
    pub(super) progress: &'a dyn Progress,
    pub(super) files: &'a Files<'a>,
    /// The lock of the target.
    pub(super) lock: &'a File,
}

/// Returns the program that applies the redo log of a backup; with `Auto`, a suitable `mysqld`, else
/// the server that is started later.
pub(super) fn choose(
    target: &Member,
    options: &PrepareOptions,
) -> Result<ApplierPlan, PrepareError> {
    let server = &target.manifest.server;
    let with = |applier| RestoreOptions {
        applier,
        mysqld: options.mysqld.clone(),
        ..RestoreOptions::new(&options.target)
    };
    if options.applier != ApplierChoice::Auto {
        return Ok(applier::choose(server, &with(options.applier))?);
    }
    // As for a restore: another flavour only if the caller named the program.
    let strict = options.mysqld.is_none();
    match applier::choose_mysqld(server, &with(ApplierChoice::Mysqld), strict) {
        Err(RestoreError::NoApplier { .. }) => {
            Ok(applier::choose(server, &with(ApplierChoice::Server))?)
        }
        other => Ok(other?),
    }
}

/// Checks the redo log of a backup: every block up to its end.
pub(super) fn check_log(
    member: &Member,
    options: &PrepareOptions,
    progress: &dyn Progress,
) -> Result<(), PrepareError> {
    let plan = bare_plan(
        member.manifest.clone(),
        vec![member.directory.clone()],
        Vec::new(),
        &options.target,
    );
    let counters = Counters::new(1);
    let fetcher = fetcher(&plan, &counters, Shown::Verify, progress, options);
    let stored = merge::stored(&plan, 0, plan.redo)?;
    Ok(redo_log::check(&fetcher, stored)?)
}

impl LastStep<'_> {
    /// Applies the redo log, or leaves it.
    pub(super) fn run(
        &self,
        journal: &mut Journal,
        target: &Member,
        applier: &ApplierPlan,
    ) -> Result<Recovered, PrepareError> {
        let mut plan = bare_plan(
            target.manifest.clone(),
            vec![target.directory.clone()],
            Vec::new(),
            self.files.root,
        );
        plan.applier = applier.clone();
        if journal.phase < Phase::Redo {
            self.check_logs()?;
            self.make_log(&plan)?;
            self.rewrite_index(target)?;
            self.files.sync_directories()?;
            journal.advance(Phase::Redo, self.files)?;
        }
        self.place_log()?;
        self.put_back()?;
        self.warm_pages()?;
        let mut recovered = Recovered::default();
        if applier.kind == ApplierKind::Mysqld {
            recovered = self.recover(&plan, target)?;
            self.files
                .replace(TABLESPACES, br#"{"version":2,"external_tablespaces":[]}"#)?;
            let source = target.manifest.server.redo_log_uuid;
            redo::renew_identity(self.files.root, source)?;
        }
        self.files.sync_directories()?;
        Ok(recovered)
    }

    /// Creates an empty list of warm pages if there is none: without the file, the log of the server
    /// would begin with an error.
    fn warm_pages(&self) -> Result<(), PrepareError> {
        let name = crate::restore::finished::WARM_PAGES;
        if !self.files.has(name) {
            self.files.replace(name, b"")?;
        }
        Ok(())
    }

    /// Writes the index of the binary log with the files of this directory: a server removes the
    /// files in the index when they are old enough.
    fn rewrite_index(&self, target: &Member) -> Result<(), PrepareError> {
        let Some(log) = BinaryLog::of(&target.manifest)? else {
            return Ok(());
        };
        for entry in &target.manifest.files {
            let name = entry.plain_path();
            if entry.role == FileRole::BinaryLog && name.ends_with(".index") {
                self.files.replace(name, log.own_index().as_bytes())?;
            }
        }
        Ok(())
    }

    /// Lets a `mysqld` recover the target. Files on which it would act are moved away meanwhile.
    fn recover(
        &self,
        plan: &crate::restore::RestorePlan,
        target: &Member,
    ) -> Result<Recovered, PrepareError> {
        let root = self.files.root;
        let work = self.files.path(WORK);
        let owner = self.account()?;
        let directories = WorkDirectories::of(&work, root.to_path_buf());
        std::fs::create_dir(&work).map_err(io("create the directory", &work))?;
        let before = self.names()?;
        let log = BinaryLog::of(&target.manifest)?;
        if let Some(log) = &log {
            self.binary_log(target, log, &directories)?;
        }
        self.hold(&directories)?;
        let keyring = self.place_keyring()?;
        let mut options = RestoreOptions::new(root);
        options.mysqld_args.clone_from(&self.options.mysqld_args);
        options.use_memory = self.options.use_memory;
        options.cancel = self.options.cancel.clone();
        options.rollback_prepared = self.options.rollback_prepared;
        options.export = self.options.export;
        let absent = target.manifest.dictionary.iter().flat_map(|d| &d.absent);
        self.progress.phase(Shown::Apply, Some(plan.redo_bytes));
        let recovered = Recovery {
            place: &Workplace {
                root: root.to_path_buf(),
                work: work.clone(),
                lock: self.lock.try_clone().map_err(io("share", root))?,
                in_place: true,
            },
            plan,
            manifest: &target.manifest,
            options: &options,
            owner: owner.as_ref(),
            log: log.as_ref(),
            directories: &directories,
            absent: &absent.map(|space| space.space_id).collect(),
            progress: self.progress,
        }
        .run();
        for path in &keyring {
            std::fs::remove_file(path).map_err(io("remove", path))?;
        }
        place_originals(&directories)?;
        let recovered = recovered?;
        for name in self.names()?.difference(&before) {
            self.files.give(&root.join(name))?;
        }
        self.remove_doublewrite()?;
        std::fs::remove_dir_all(&work).map_err(io("remove", &work))?;
        Ok(recovered)
    }

    /// Puts back the files that an interrupted recovery held away, and removes its directory.
    pub(super) fn put_back(&self) -> Result<(), PrepareError> {
        let work = self.files.path(WORK);
        let listed = std::fs::read_to_string(work.join(PLACED)).unwrap_or_default();
        for name in listed.lines().filter(|name| !name.contains('/')) {
            self.files.remove(name)?;
        }
        let root = self.files.root.to_path_buf();
        place_originals(&WorkDirectories::of(&work, root))?;
        match std::fs::remove_dir_all(&work) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(io("remove", &work)(error).into());
            }
            _ => {}
        }
        Ok(())
    }

    /// Copies the end of the binary log to where the recovering server reads it.
    fn binary_log(
        &self,
        target: &Member,
        log: &BinaryLog,
        directories: &WorkDirectories,
    ) -> Result<(), PrepareError> {
        let to = &directories.binlog;
        std::fs::create_dir(to).map_err(io("create the directory", to))?;
        for entry in &target.manifest.files {
            let name = entry.plain_path();
            if entry.role == FileRole::BinaryLog
                && let Some(crate::restore::binary_log::Part::File(number)) = log.part(name)
            {
                let into = to.join(BinaryLog::file(&number));
                let from = self.files.path(name);
                std::fs::copy(&from, &into).map_err(io("copy to", &into))?;
            }
        }
        Ok(log.write_index(to)?)
    }

    /// Moves files on which a recovering server would act out of its directory.
    fn hold(&self, directories: &WorkDirectories) -> Result<(), PrepareError> {
        let held = &directories.held;
        std::fs::create_dir(held).map_err(io("create the directory", held))?;
        for name in self.top_names()? {
            let is_held = matches!(
                finished::class(&name),
                Class::Components | Class::Configuration
            ) || name == finished::IDENTITY;
            if is_held {
                let (from, to) = (self.files.path(&name), held.join(&name));
                std::fs::rename(&from, &to).map_err(io("move a file to", &to))?;
            }
        }
        Ok(())
    }

    /// Places the caller's configuration of a keyring component; returns the files.
    fn place_keyring(&self) -> Result<Vec<PathBuf>, PrepareError> {
        let Some(config) = &self.options.keyring_config else {
            return Ok(Vec::new());
        };
        let refuse = || RestoreError::KeyringConfig {
            path: config.clone(),
            what: "has the name of no keyring component, expected component_keyring_NAME.cnf"
                .to_owned(),
        };
        let name = config.file_name().and_then(|name| name.to_str());
        let component = name
            .and_then(|name| name.strip_suffix(".cnf"))
            .filter(|name| name.starts_with("component_keyring_"))
            .ok_or_else(refuse)?;
        let list = serde_json::json!({ "components": format!("file://{component}") }).to_string();
        let list = finished::components(list.as_bytes()).ok_or_else(refuse)?;
        let components = self.files.path(finished::COMPONENTS);
        let placed = self.files.path(&format!("{component}.cnf"));
        let mark = self.files.path(WORK).join(PLACED);
        let text = format!("{}\n{component}.cnf\n", finished::COMPONENTS);
        std::fs::write(&mark, text).map_err(io("write", &mark))?;
        std::fs::write(&components, list).map_err(io("write", &components))?;
        std::fs::copy(config, &placed).map_err(io("copy to", &placed))?;
        for path in [&components, &placed] {
            self.files.give(path)?;
        }
        Ok(vec![components, placed])
    }

    /// Returns the account of the recovering server if this process is root: the owner of the
    /// target, if all of its files belong to it and it can reach them, else root. No owner is changed.
    fn account(&self) -> Result<Option<Owner>, PrepareError> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        let owner = std::fs::metadata(self.files.root).map_err(io("look at", self.files.root))?;
        let (uid, gid) = (owner.uid(), owner.gid());
        let root = self.files.root;
        let wanted = Owner::wanted(Some(&format!("{uid}:{gid}")))?;
        let above = root.parent().unwrap_or(root);
        let reaches = wanted.is_some_and(|owner| reach::blocked(above, &owner).is_none());
        let same = reaches && all_of(root, uid)?;
        let account = if same {
            format!("{uid}:{gid}")
        } else {
            "0:0".to_owned()
        };
        Ok(Owner::wanted(Some(&account))?)
    }

    /// Removes the doublewrite files of the recovery.
    fn remove_doublewrite(&self) -> Result<(), PrepareError> {
        for name in self.top_names()? {
            if is_doublewrite(&name) {
                self.files.remove(&name)?;
            }
        }
        Ok(())
    }

    pub(super) fn top_names(&self) -> Result<Vec<String>, PrepareError> {
        let root = self.files.root;
        let mut names = Vec::new();
        for entry in std::fs::read_dir(root).map_err(io("list", root))? {
            let entry = entry.map_err(io("list", root))?;
            if let Ok(name) = entry.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }

    /// Returns the paths of all files in the target, except for those of the recovery.
    fn names(&self) -> Result<BTreeSet<PathBuf>, PrepareError> {
        let mut names = BTreeSet::new();
        let mut directories = vec![PathBuf::new()];
        while let Some(below) = directories.pop() {
            let at = self.files.root.join(&below);
            for entry in std::fs::read_dir(&at).map_err(io("list", &at))? {
                let entry = entry.map_err(io("list", &at))?;
                let name = below.join(entry.file_name());
                if name == Path::new(WORK) {
                    continue;
                }
                let kind = entry.file_type().map_err(io("look at", &entry.path()))?;
                if kind.is_dir() {
                    directories.push(name.clone());
                }
                names.insert(name);
            }
        }
        Ok(names)
    }
}

/// Moves the files that were held away to their places. The identity is that of the target, also if
/// the recovering server left one of its own.
fn place_originals(directories: &WorkDirectories) -> Result<(), RestoreError> {
    let held = directories.held.join(finished::IDENTITY);
    if held.is_file() {
        let place = directories.root.join(finished::IDENTITY);
        std::fs::rename(&held, &place).map_err(io("move a file to", &place))?;
    }
    held::place_held(directories)
}

/// Returns whether everything below a directory belongs to this user.
fn all_of(directory: &Path, uid: u32) -> Result<bool, RestoreError> {
    for entry in std::fs::read_dir(directory).map_err(io("list", directory))? {
        let entry = entry.map_err(io("list", directory))?;
        if entry.file_name() == WORK {
            continue;
        }
        let found = entry.metadata().map_err(io("look at", &entry.path()))?;
        if found.uid() != uid || (found.is_dir() && !all_of(&entry.path(), uid)?) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Returns the warnings for a redo log that is left for the server.
pub(super) fn warnings(
    options: &PrepareOptions,
    applier: &ApplierPlan,
    target: &Member,
) -> Vec<String> {
    if applier.kind != ApplierKind::Server {
        return Vec::new();
    }
    let mut warnings = vec![crate::restore::run::left_for_server(&target.manifest)];
    if options.rollback_prepared {
        warnings.push(
            "prepared XA transactions are not rolled back, because that needs a mysqld: after the first start of the \
             server, look at XA RECOVER and run XA ROLLBACK"
                .to_owned(),
        );
    }
    warnings
}

/// Refuses an xtrabackup as the redo applier of a step.
pub(super) fn refuse_xtrabackup(options: &PrepareOptions) -> Result<(), PrepareError> {
    if options.applier != ApplierChoice::Xtrabackup {
        return Ok(());
    }
    Err(refuse(
        &options.target,
        "an xtrabackup is no redo applier of a prepare step: run its own --prepare instead",
    )
    .into())
}
