//! Room `datadir`.
