//! Which job is due when, and which agent runs it.
//!
//! A slot is a schedule's name and a nominal time. The agents that share a repository claim a slot by an object that is
//! created only if it is absent, so a slot is run by one of them ([`crate::store`], `docs/format/slots.md`). All that a
//! restart needs is in the repository: which slots are over, which one runs, whether a schedule is paused.
//!
//! | module | contents |
//! |---|---|
//! | [`timetable`] | the slots of a cron expression in a time zone |
//! | [`scheduler`] | all schedules of an agent |
//! | `planned` | one schedule, with its state in this agent |
//! | `due` | a look at the repository: the slot to run, the slots that were missed |
//! | `active` | the slot that this agent runs: heartbeats, tries, outcome |
//! | `delay` | jitter, and the preference of replicas |
//! | `arguments` | the command of a slot |
//! | [`runner`] | what the scheduler needs of the agent |

mod active;
mod arguments;
mod delay;
mod due;
mod planned;
pub(crate) mod runner;
pub(crate) mod scheduler;
mod slot;
#[cfg(test)]
mod tests;
pub(crate) mod timetable;

pub(crate) use runner::{Access, Runner};
pub(crate) use scheduler::{Done, Scheduler};
pub(crate) use slot::{Begun, Outcome, ScheduleError, ScheduleStatus, SlotStatus};
pub(crate) use timetable::{Timetable, TimetableError};
