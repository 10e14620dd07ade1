//! A message in, its signature out: what the `geminiprochat` family expects beside each request.

use sha2::{Digest, Sha256};

/// The lower-case hex SHA-256 of `{timestamp_ms}:{message}:{secret}` in UTF-8.
///
/// `timestamp_ms` is the request's `time` field, in milliseconds; `message` is the last message
/// exactly as sent; `secret` is the deployment's key, empty when it has none.
///
/// ```
/// // As `printf '1700000000000:Hello:' | sha256sum` has it.
/// let signature = tailrace_core::sign_request(1_700_000_000_000, "Hello", "");
/// assert_eq!(signature, "25252ce63a1e8e910eb1e6a83844ff41c9267376bb407c06e89e0f527dac4c35");
/// ```
#[must_use]
pub fn sign_request(timestamp_ms: i64, message: &str, secret: &str) -> String {
    let digest = Sha256::new()
        .chain_update(timestamp_ms.to_string())
        .chain_update(b":")
        .chain_update(message)
        .chain_update(b":")
        .chain_update(secret)
        .finalize();
    const_hex::encode(digest)
}
