//! Reads big-endian fields at offsets. A field beyond the end reads as 0: the callers check the
//! length of their input once, and no function here can panic on a short slice.

fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes
        .get(at..)
        .and_then(|rest| rest.first_chunk::<N>())
        .copied()
        .unwrap_or([0; N])
}

#[inline]
pub(super) fn u8_at(bytes: &[u8], at: usize) -> u8 {
    u8::from_be_bytes(field(bytes, at))
}

#[inline]
pub(super) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes(field(bytes, at))
}

#[inline]
pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(field(bytes, at))
}

#[inline]
pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(field(bytes, at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_big_endian_and_nothing_beyond_the_end() {
        let bytes = [0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08];
        assert_eq!(u8_at(&bytes, 7), 8);
        assert_eq!(u16_at(&bytes, 0), 0x0102);
        assert_eq!(u32_at(&bytes, 4), 0x0506_0708);
        assert_eq!(u64_at(&bytes, 0), 0x0102_0304_0506_0708);
        assert_eq!(u32_at(&bytes, 5), 0);
        assert_eq!(u32_at(&bytes, usize::MAX), 0);
    }
}
