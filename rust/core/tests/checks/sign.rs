//! The signature against the plain expression.

use sha2::{Digest, Sha256};
use tailrace_core::sign_request;

pub fn check(data: &[u8]) {
    let Some((time, [length, rest @ ..])) = data.split_first_chunk() else { return };
    let (message, secret) = rest.split_at(usize::from(*length).min(rest.len()));
    let (message, secret) = (String::from_utf8_lossy(message), String::from_utf8_lossy(secret));
    let time = i64::from_le_bytes(*time);
    let plainly = const_hex::encode(Sha256::digest(format!("{time}:{message}:{secret}")));
    assert_eq!(sign_request(time, &message, &secret), plainly, "{time} {message:?} {secret:?}");
}
