//! Signatures against the captured vectors, the edges, and the plain expression.

use proptest::prelude::*;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tailrace_core::sign_request;

fn plainly(time: i64, message: &str, secret: &str) -> String {
    const_hex::encode(Sha256::digest(format!("{time}:{message}:{secret}")))
}

#[test]
fn vectors() {
    let files = [
        include_str!("../../../tests/vectors/sign/captured.json"),
        include_str!("../../../tests/vectors/sign/edges.json"),
    ];
    for file in files {
        let cases: Vec<Value> = serde_json::from_str(file).unwrap();
        assert!(!cases.is_empty());
        for case in cases {
            let text = |key: &str| case[key].as_str().unwrap();
            let signature = sign_request(case["time"].as_i64().unwrap(), text("m"), text("secret"));
            assert_eq!(signature, text("sign"), "{case}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_request_is_signed_as_the_plain_expression_says(time: i64, message: String, secret: String) {
        prop_assert_eq!(sign_request(time, &message, &secret), plainly(time, &message, &secret));
    }
}
