//! This crate's decoders behind the protocol of the conformance kit, `python -m
//! tailrace.conformance`: cases on standard input, answers on standard output, a line of JSON each.
//! A start for whoever wants to ask another decoder in Rust.

use std::error::Error;
use std::io::{self, BufRead, Write};
use std::ops::ControlFlow;

use serde_json::{Value, json};
use tailrace_core::{DeltaDecoder, DeltaOptions, Dialect, EventDecoder, MAX_EVENT_BYTES};

fn main() -> Result<(), Box<dyn Error>> {
    run(io::stdin().lock(), io::stdout().lock())
}

/// Greets, and answers until the input ends.
///
/// # Errors
/// When input or output fails, or the input is not of the protocol.
pub fn run(input: impl BufRead, mut output: impl Write) -> Result<(), Box<dyn Error>> {
    let mut lines =
        input.lines().map(|line| Ok::<Value, Box<dyn Error>>(serde_json::from_str(&line?)?));
    let Some(hello) = lines.next().transpose()? else { return Ok(()) };
    let (answer, claims): (Answer, _) = match hello["kind"].as_str() {
        Some("sse") => (answer_events, json!(["types", "ids", "retry", "limits"])),
        Some("deltas") => {
            (answer_text, json!(["ends", "bodies", "choices", "completions", "limits"]))
        }
        _ => return Err("the greeting names no kind of decoder".into()),
    };
    say(
        &json!({"tailrace-conformance": 1, "name": "tailrace-core", "claims": claims}),
        &mut output,
    )?;
    for case in lines {
        let case = case?;
        let chunks = case["chunks"].as_array().ok_or("a case without chunks")?.iter();
        let reads: Vec<Vec<u8>> = chunks.filter_map(Value::as_str).map(base64).collect();
        let limit = case["max_event_bytes"].as_u64().map(usize::try_from).transpose()?;
        let mut said = answer(&reads, limit.unwrap_or(MAX_EVENT_BYTES));
        said["case"] = case["case"].clone();
        say(&said, &mut output)?;
    }
    Ok(())
}

/// What comes of reads, with a limit for each event.
type Answer = fn(&[Vec<u8>], usize) -> Value;

fn answer_events(reads: &[Vec<u8>], max_event_bytes: usize) -> Value {
    let mut decoder = EventDecoder::new(max_event_bytes);
    let mut events = Vec::new();
    let fed = reads.iter().try_for_each(|read| {
        decoder.feed(read, |event| {
            events.push(json!([event.kind(), event.data, event.id, event.retry]));
            ControlFlow::Continue(())
        })
    });
    let failure = fed.and_then(|()| decoder.close()).err().map(|limit| limit.to_string());
    json!({"events": events, "failure": failure})
}

fn answer_text(reads: &[Vec<u8>], max_event_bytes: usize) -> Value {
    let options = DeltaOptions { max_event_bytes, ..DeltaOptions::default() };
    let mut decoder = DeltaDecoder::new(Dialect::OpenAi, options);
    let mut text = Vec::<String>::new();
    for read in reads {
        decoder.feed(read, &mut text);
    }
    decoder.close(true, &mut text);
    json!({"text": text, "failure": decoder.error().map(|error| format!("{}: {error}", error.kind))})
}

fn say(message: &Value, output: &mut impl Write) -> io::Result<()> {
    writeln!(output, "{message}")?;
    output.flush()
}

/// What base64 stands for (RFC 4648); what is no letter of it is passed over, as the padding is.
fn base64(text: &str) -> Vec<u8> {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bytes, mut bits, mut width) = (Vec::new(), 0_u32, 0);
    for (value, _) in
        text.bytes().filter_map(|byte| (0..).zip(LETTERS).find(|(_, letter)| **letter == byte))
    {
        bits = bits << 6 | value;
        width += 6;
        if width >= 8 {
            width -= 8;
            bytes.push((bits >> width).to_le_bytes()[0]);
        }
    }
    bytes
}
