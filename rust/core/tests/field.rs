//! Replies as servers really send them, `tests/vectors/field/`: however they are cut, and whichever
//! way they are fed.

use serde_json::{Value, json};
use tailrace_core::DeltaDecoder;

use crate::expect::{Records, decoder, run};
use crate::vectors;

#[test]
fn every_reply_of_the_field_however_it_is_cut_and_fed() {
    let cases = vectors::cases("field");
    let wrong = cases.iter().filter_map(|(name, case)| {
        let problem = check(case).err()?;
        Some(format!("{name}: {problem}"))
    });
    let wrong: Vec<String> = wrong.collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn check(case: &Value) -> Result<(), String> {
    let input = vectors::bytes(&case["input"]);
    for chunks in vectors::splits(&input, 1) {
        let first = chunks.first().map_or(0, |chunk| chunk.len());
        let how = |problem| format!("in {} chunks, the first of {first}: {problem}", chunks.len());
        let (deltas, ended) = run(decoder(case), chunks.iter().copied(), true);
        check_end(case, &deltas.concat(), &ended).map_err(how)?;
        let (mut text, mut ended) = (String::new(), decoder(case));
        for chunk in &chunks {
            ended.feed(chunk, &mut text);
        }
        ended.close(true, &mut text);
        check_end(case, &text, &ended).map_err(how)?;
        let (mut records, mut ended) = (Records::default(), decoder(case));
        for chunk in &chunks {
            ended.feed(chunk, &mut records);
        }
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
