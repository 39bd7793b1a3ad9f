//! The schedules of an agent.

use super::super::clock::Clock;
use super::super::jobs::JobId;
use super::super::settings::ScheduleSettings;
use super::arguments;
use super::planned::{Env, Mode, Planned};
use super::runner::{Access, Runner};
use super::slot::{ScheduleError, ScheduleStatus, SlotStatus};
use super::timetable::TimetableError;
use crate::cancel::Cancel;
use crate::locked::Locked;
use chrono::{DateTime, TimeDelta, Utc};
use std::sync::{Arc, Mutex};

/// The longest sleep. The clock may be set meanwhile.
const MAX_SLEEP: TimeDelta = TimeDelta::minutes(5);
/// How often what runs is looked at while the agent ends.
const POLL: TimeDelta = TimeDelta::seconds(1);

/// Runs the schedules of an agent.
pub(crate) struct Scheduler {
    agent: String,
    runner: Arc<dyn Runner>,
    access: Arc<dyn Access>,
    clock: Arc<dyn Clock>,
    /// The schedules, while a step is done.
    plans: Mutex<Vec<Planned>>,
    /// What is shown of them after the last step.
    shown: Mutex<Vec<ScheduleStatus>>,
    settings: Mutex<Vec<ScheduleSettings>>,
    /// Settings that the next step takes.
    reloaded: Mutex<Option<Vec<ScheduleSettings>>>,
    /// Ends the sleep.
    wake: Mutex<Cancel>,
}

/// What [`Scheduler::run_due`] did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Done {
    /// The slots that are over, by the names of their schedules.
    pub(crate) slots: Vec<(String, SlotStatus)>,
    /// The schedules with slots that could not be begun, or of which it is unknown whether something is due, with the reason.
    /// The next run tries them again.
    pub(crate) stuck: Vec<(String, String)>,
}

impl Scheduler {
    /// Creates the scheduler of an agent. Nothing is read or begun yet.
    ///
    /// # Errors
    /// The times of a schedule are not valid.
    pub(crate) fn new(
        agent: String,
        schedules: Vec<ScheduleSettings>,
        runner: Arc<dyn Runner>,
        access: Arc<dyn Access>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, TimetableError> {
        let plans = schedules.iter().cloned().map(Planned::new);
        let plans = plans.collect::<Result<Vec<_>, _>>()?;
        let now = clock.now();
        let shown = plans.iter().map(|plan| plan.status(&agent, now)).collect();
        Ok(Self {
            agent,
            runner,
            access,
            clock,
            plans: Mutex::new(plans),
            shown: Mutex::new(shown),
            settings: Mutex::new(schedules),
            reloaded: Mutex::default(),
            wake: Mutex::default(),
        })
    }

    /// Runs the schedules on this thread until `cancel` is cancelled. Then no slot is begun, and it returns when those that
    /// run are over, and recorded or given up. The caller ends their jobs.
    pub(crate) fn run(&self, cancel: &Cancel) {
        loop {
            let ending = cancel.is_cancelled();
            let wake = match ending {
                true => Cancel::new(),
                false => cancel.child(),
            };
            *self.wake.locked() = wake.clone();
            if self.has_reloaded() {
                self.take_settings();
            }
            let mode = if ending { Mode::Ending } else { Mode::Daemon };
            let next = self.tick(mode);
            let now = self.clock.now();
            if ending && !self.is_active() {
                return;
            }
            let until = next.min(now + if ending { POLL } else { MAX_SLEEP });
            self.clock.wait_until(until, &wake);
        }
    }

    /// Runs what is due now, waits for it, and returns what was recorded, for `lsnap agent --once`. A slot that another
    /// agent runs is not waited for.
    pub(crate) fn run_due(&self, cancel: &Cancel) -> Done {
        let until = self.clock.now();
        loop {
            let ending = cancel.is_cancelled();
            let mode = match ending {
                true => Mode::Ending,
                false => Mode::Once(until),
            };
            let next = self.tick(mode);
            let waits = self.is_active() || (!ending && self.is_pending());
            if !waits {
                return Done {
                    slots: self.take_recorded(),
                    stuck: self.stuck(),
                };
            }
            let again = next.min(self.clock.now() + POLL);
            // a cancelled one would not wait at all
            let wake = if ending {
                Cancel::new()
            } else {
                cancel.child()
            };
            self.clock.wait_until(again, &wake);
        }
    }

    /// Does what is due in each schedule. Returns when to come again.
    pub(super) fn tick(&self, mode: Mode) -> DateTime<Utc> {
        let mut plans = self.plans.locked();
        let mut next = DateTime::<Utc>::MAX_UTC;
        for plan in plans.iter_mut() {
            let env = self.env(mode);
            next = next.min(plan.step(&env));
        }
        plans.retain(|plan| !plan.retired || plan.active.is_some());
        let now = self.clock.now();
        let of = |plan: &Planned| plan.status(&self.agent, now);
        *self.shown.locked() = plans.iter().map(of).collect();
        next
    }

    fn env(&self, mode: Mode) -> Env<'_> {
        Env {
            agent: &self.agent,
            runner: &*self.runner,
            access: &*self.access,
            now: self.clock.now(),
            mode,
        }
    }

    /// Returns whether this agent runs a slot, or a deletion after one.
    fn is_active(&self) -> bool {
        let mut plans = self.plans.locked();
        let mut active = false;
        for plan in plans.iter_mut() {
            active |= plan.active.is_some() | plan.is_pruning(&*self.runner);
        }
        active
    }

    fn is_pending(&self) -> bool {
        self.plans
            .locked()
            .iter()
            .any(|plan| plan.pending.is_some())
    }

    /// Returns what kept schedules from their slots.
    fn stuck(&self) -> Vec<(String, String)> {
        let plans = self.plans.locked();
        let of = |plan: &Planned| Some((plan.settings.name.clone(), plan.stuck()?));
        plans.iter().filter_map(of).collect()
    }

    fn take_recorded(&self) -> Vec<(String, SlotStatus)> {
        let mut plans = self.plans.locked();
        let of = |plan: &mut Planned| {
            let name = plan.settings.name.clone();
            let recorded = std::mem::take(&mut plan.recorded).into_iter();
            recorded.map(move |status| (name.clone(), status))
        };
        plans.iter_mut().flat_map(of).collect()
    }

    /// Returns what is known of the schedules, in their order.
    pub(crate) fn status(&self) -> Vec<ScheduleStatus> {
        self.shown.locked().clone()
    }

    /// Starts the job of a schedule now, outside its slots. It also runs if the schedule is paused.
    ///
    /// # Errors
    /// There is no such schedule, or the job was refused.
    pub(crate) fn run_now(&self, name: &str) -> Result<JobId, ScheduleError> {
        let settings = self.settings_of(name)?;
        Ok(self.runner.start(arguments::by_request(&settings))?)
    }

    /// Pauses a schedule for all agents of its repository, or resumes it. Slots are recorded as skipped meanwhile. A job
    /// that runs goes on. This waits for the repository.
    ///
    /// # Errors
    /// There is no such schedule, or the repository can't be changed.
    pub(crate) fn pause(&self, name: &str, paused: bool) -> Result<(), ScheduleError> {
        let settings = self.settings_of(name)?;
        let failed = |error: crate::store::StoreError| ScheduleError::Repository {
            name: name.to_owned(),
            reason: error.to_string(),
        };
        let repository = self.access.repository(settings.repository.as_deref());
        let slots = repository.and_then(|repository| repository.slots(name));
        slots
            .and_then(|slots| slots.pause(paused))
            .map_err(failed)?;
        for shown in self.shown.locked().iter_mut() {
            if shown.name == name {
                shown.paused = paused;
            }
        }
        self.look_soon(name);
        Ok(())
    }

    fn look_soon(&self, name: &str) {
        // a step that is being done may take long: it is not waited for
        if let Ok(mut plans) = self.plans.try_lock() {
            for plan in plans.iter_mut().filter(|plan| plan.settings.name == name) {
                plan.next_look = DateTime::<Utc>::MIN_UTC;
            }
        }
        self.wake.locked().cancel();
    }

    fn settings_of(&self, name: &str) -> Result<ScheduleSettings, ScheduleError> {
        let settings = self.settings.locked();
        let found = settings.iter().find(|settings| settings.name == name);
        found.cloned().ok_or_else(|| ScheduleError::Unknown {
            name: name.to_owned(),
        })
    }

    /// Takes new schedules at the next step. A slot that runs goes on, also if its schedule is gone.
    pub(crate) fn reload(&self, schedules: Vec<ScheduleSettings>) {
        self.settings.locked().clone_from(&schedules);
        *self.reloaded.locked() = Some(schedules);
        self.wake.locked().cancel();
    }

    fn has_reloaded(&self) -> bool {
        self.reloaded.locked().is_some()
    }

    pub(super) fn take_settings(&self) {
        let Some(schedules) = self.reloaded.locked().take() else {
            return;
        };
        let mut plans = self.plans.locked();
        let mut before = std::mem::take(&mut *plans);
        for settings in schedules {
            let name = settings.name.clone();
            let at = before.iter().position(|plan| plan.settings.name == name);
            let taken = match at.map(|at| before.swap_remove(at)) {
                Some(plan) if plan.settings == settings => Ok(plan),
                Some(mut plan) => plan.replace(settings).map(|()| plan),
                None => Planned::new(settings),
            };
            match taken {
                Ok(plan) => plans.push(plan),
                // the configuration was checked before
                Err(error) => tracing::error!("the schedule {name} is not run: {error}"),
            }
        }
        // what runs goes on until it is over
        plans.extend(
            before
                .into_iter()
                .filter(|plan| plan.active.is_some())
                .map(Planned::retire),
        );
    }
}
