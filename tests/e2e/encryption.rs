//! Encryption at rest with the keyring component.
