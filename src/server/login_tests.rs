use super::*;

/// Returns a greeting of MySQL 9.7.
fn sample() -> Vec<u8> {
    let mut out = vec![10];
    out.extend_from_slice(b"9.7.4\0");
    out.extend_from_slice(&7_u32.to_le_bytes());
    out.extend_from_slice(b"12345678\0");
    let capabilities = WANTED | SSL;
    out.extend_from_slice(&capabilities.to_le_bytes()[..2]);
    out.extend_from_slice(&[255, 2, 0]);
    out.extend_from_slice(&capabilities.to_le_bytes()[2..]);
    out.push(21);
    out.extend_from_slice(&[0; 10]);
    out.extend_from_slice(b"901234567890\0");
    out.extend_from_slice(b"caching_sha2_password\0");
    out
}

#[test]
fn a_greeting_is_parsed() {
    let found = greeting(&sample()).unwrap();
    assert_eq!((found.connection_id, found.plugin.as_str()), (7, SHA2));
    assert_eq!(found.nonce, b"12345678901234567890");
    assert_eq!(found.capabilities, WANTED | SSL);
}

#[test]
fn invalid_greetings_are_errors() {
    // The plugin name is optional.
    let whole = sample();
    for len in 0..whole.len() - SHA2.len() - 1 {
        assert!(greeting(&whole[..len]).is_err(), "{len}");
    }
    assert!(greeting(b"SSH-2.0-OpenSSH_9.9").is_err());
    assert!(greeting(b"\x09old").is_err());
    let refused = greeting(b"\xff\x10\x04Too many connections");
    assert!(matches!(
        refused,
        Err(LoginError::Wire(WireError::Server { code: 1040, .. }))
    ));
}

#[test]
fn dangerous_capabilities_are_not_requested() {
    // Local files, multiple statements or results, and the capabilities that require handling them.
    for flag in [1 << 7, 1 << 16, 1 << 17, 1 << 18] {
        assert_eq!(WANTED & flag, 0, "{flag:#x}");
    }
}
