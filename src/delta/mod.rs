//! Room `delta`.
