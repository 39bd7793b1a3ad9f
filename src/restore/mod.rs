//! Room `restore`.
