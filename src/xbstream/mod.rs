//! Room `xbstream`.
