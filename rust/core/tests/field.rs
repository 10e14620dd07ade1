//! Replies as servers really send them, `tests/vectors/field/`: however they are cut, and whichever
//! way they are fed.

use std::fs;

use serde_json::{Value, json};
use tailrace_core::DeltaDecoder;

use crate::expect::{Records, decoder, run};
use crate::vectors;

#[test]
fn every_reply_of_the_field_however_it_is_cut_and_fed() {
    let expected_failures = expected_failures();
    let mut wrong = Vec::new();
    for (_, case) in vectors::cases("field") {
        let name = case["name"].as_str().unwrap().to_owned();
        match check(&case) {
            Ok(()) if expected_failures.contains(&name) => {
                wrong.push(format!("{name} is right now: no longer a failure to be expected"));
            }
            Err(problem) if !expected_failures.contains(&name) => {
                wrong.push(format!("{name}: {problem}"));
            }
            _ => {}
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The cases that are known to be read wrongly, a name a line.
fn expected_failures() -> Vec<String> {
    let path = vectors::folder().join("field/expected_failures.txt");
    fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}

fn check(case: &Value) -> Result<(), String> {
    let input = vectors::bytes(&case["input"]);
    for chunks in vectors::splits(&input, 1) {
        let first = chunks.first().map_or(0, |chunk| chunk.len());
        let how = |problem| format!("in {} chunks, the first of {first}: {problem}", chunks.len());
        let (deltas, ended) = run(decoder(case), chunks.iter().copied(), true);
        check_end(case, &deltas.concat(), &ended).map_err(how)?;
        let (mut text, mut ended) = (String::new(), decoder(case));
        chunks.iter().for_each(|chunk| ended.feed(chunk, &mut text));
        ended.close(true, &mut text);
        check_end(case, &text, &ended).map_err(how)?;
        let (mut records, mut ended) = (Records::default(), decoder(case));
        chunks.iter().for_each(|chunk| ended.feed(chunk, &mut records));
        ended.close(true, &mut records);
        check_end(case, &records.texts().concat(), &ended).map_err(how)?;
        is("events", &json!(records.joined()), &case["expect"]["events"]).map_err(how)?;
    }
    Ok(())
}

fn check_end(case: &Value, text: &str, decoder: &DeltaDecoder) -> Result<(), String> {
    let expected = &case["expect"];
    is("text", &json!(text), &expected["text"])?;
    is("end", &json!(decoder.end().as_str()), &expected["end"])?;
    is("finish_reason", &json!(decoder.finish_reason()), &expected["finish_reason"])?;
    let usage = decoder
        .usage()
        .map(|usage| [usage.prompt_tokens, usage.completion_tokens, usage.total_tokens]);
    is("usage", &json!(usage), &expected["usage"])?;
    let (error, expected) = (decoder.error(), &expected["error"]);
    is("kind", &json!(error.map(|error| error.kind.as_str())), &expected["kind"])?;
    let Some(error) = error else { return Ok(()) };
    if let Some(code) = expected.get("code") {
        is("code", &json!(error.code), code)?;
    }
    match expected["message"].as_str() {
        Some(part) if !error.message.contains(part) => {
            Err(format!("message: {:?}, not {part:?}", error.message))
        }
        _ => Ok(()),
    }
}

fn is(what: &str, found: &Value, expected: &Value) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("{what}: {found}, not {expected}")) }
}
