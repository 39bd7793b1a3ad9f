//! The agent: a daemon beside a MySQL server. It runs jobs by schedules and by requests, and shows what it does.
//!
//! A job is a process: this program with the arguments of one of its commands, `--json` and `--progress json`
//! ([`jobs`]). So a job does what a person's command does, reads configuration and credentials anew, returns its memory,
//! and can't take the agent with it. Everything that must survive the agent is in the repository.
//!
//! | module | contents |
//! |---|---|
//! | [`settings`] | what the configuration says |
//! | [`clock`] | the time, which tests replace |
//! | [`loaded`] | the configuration that was loaded last |
//! | [`run`], [`service`], [`notify`] | the life of the agent: its threads, signals, notifications of the service manager |
//! | [`parts`] | what each part needs of the others |
//! | [`board`] | the repositories and the server, as they were found last |
//! | [`jobs`] | the jobs: begun, listed, cancelled, with their logs |
//! | [`schedule`] | which job is due when, and which agent runs it |
//! | [`sidecar`] | the API that the operator of Percona calls |
//! | [`http`] | the API, the page, the probes and the metrics |
//! | [`status`] | what the page, the metrics and the API show |

pub(crate) mod board;
pub(crate) mod clock;
pub(crate) mod error;
pub(crate) mod http;
pub(crate) mod jobs;
pub(crate) mod loaded;
mod notify;
pub(crate) mod parts;
pub(crate) mod run;
pub(crate) mod schedule;
mod service;
pub(crate) mod settings;
pub(crate) mod sidecar;
pub(crate) mod status;
