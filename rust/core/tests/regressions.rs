//! Every input that fuzzing found worth keeping, through the comparison it was found by; and
//! layouts that change at every offset there is.

use std::fs;
use std::panic::catch_unwind;
use std::path::Path;

use tailrace_core::Dialect;

use crate::checks;
use crate::checks::repeats::{
    CHUNKS, Form, LINES, PIECES, PLAIN, is_read_as_by_fresh_decoders, quotes,
};

/// The inputs in a file of `rust/fuzz`: one a line, in hexadecimal; `#` begins a comment.
fn inputs(folder: &str, target: &str) -> Vec<Vec<u8>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz")
        .join(folder)
        .join(format!("{target}.hex"));
    let file =
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let lines = file.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    lines.filter(|line| !line.is_empty()).map(|line| const_hex::decode(line).unwrap()).collect()
}

#[test]
fn every_kept_input_passes_its_check() {
    for (target, check) in checks::ALL {
        for folder in ["corpora", "regressions"] {
            for (index, input) in inputs(folder, target).iter().enumerate() {
                let result = catch_unwind(|| check(input));
                assert!(
                    result.is_ok(),
                    "{folder}/{target}.hex, input {}: {}",
                    index + 1,
                    const_hex::encode(input)
                );
            }
        }
    }
}

/// What `make test-fast` leaves out.
mod heavy {
    use super::*;

    #[test]
    fn a_layout_may_change_at_any_place() {
        for text in CHUNKS {
            let before = PLAIN.block(text.as_bytes());
            for at in 0..=text.len() {
                for piece in PIECES {
                    // Put in between, or in place of what stands there.
                    let end = text.len().min(at + at % 2 * piece.len().max(1));
                    let changed =
                        [&text.as_bytes()[..at], piece.as_bytes(), &text.as_bytes()[end..]]
                            .concat();
                    let changed = PLAIN.block(&changed);
                    let blocks =
                        [before.clone(), before.clone(), changed.clone(), changed, before.clone()];
                    is_read_as_by_fresh_decoders(Dialect::OpenAi, &blocks, &[]);
                }
            }
        }
    }

    #[test]
    fn what_a_string_holds_may_change_at_any_time() {
        let named = Form { head: "event: message", ..PLAIN };
        for text in CHUNKS {
            for quote in quotes(text.as_bytes()) {
                let (before, rest) = text.split_at(quote + 1);
                let after = rest.find('"').map_or("", |end| &rest[end..]);
                for piece in PIECES {
                    let insides = ["p", "q", "r", piece, "s", piece]
                        .map(|inside| format!("{before}{inside}{after}"));
                    for (dialect, form) in [
                        (Dialect::OpenAi, PLAIN),
                        (Dialect::AiPower, PLAIN),
                        (Dialect::AiPower, named),
                        (Dialect::AiPkit, PLAIN),
                    ] {
                        let blocks: Vec<Vec<u8>> =
                            insides.iter().map(|data| form.block(data.as_bytes())).collect();
                        is_read_as_by_fresh_decoders(dialect, &blocks, &[]);
                    }
                }
            }
        }
    }
}

#[test]
fn the_lines_around_the_data_may_change_at_any_time() {
    for text in CHUNKS {
        for line in LINES {
            let plain = PLAIN.block(text.as_bytes());
            for form in [
                Form { head: line, ..PLAIN },
                Form { tail: line, ..PLAIN },
                Form { end: "\r\n", tail: line, ..PLAIN },
            ] {
                let other = form.block(text.as_bytes());
                let blocks = [&plain, &plain, &other, &plain, &other, &other].map(Clone::clone);
                for dialect in [Dialect::OpenAi, Dialect::AiPower, Dialect::AiPkit] {
                    is_read_as_by_fresh_decoders(dialect, &blocks, &[]);
                }
            }
        }
    }
}
