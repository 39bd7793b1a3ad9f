//! Room `mem`.
