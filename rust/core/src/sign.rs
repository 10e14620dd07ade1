//! A message in, its signature out: what the `geminiprochat` family expects beside each request.

use sha2::{Digest, Sha256};

/// The lower-case hex SHA-256 of `{timestamp_ms}:{message}:{secret}` in UTF-8.
///
/// `timestamp_ms` is the request's `time` field, in milliseconds; `message` is the last message exactly as sent;
/// `secret` is the deployment's key, empty when it has none. Held against `signature-vectors.json`.
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
